// Writes docs/configuration.md from the table of settings. Run with: node --conditions=aims:source tools/configuration-doc.ts
import { writeFileSync } from 'node:fs'
import { configurationMarkdown } from '../packages/server/src/config/documentation.ts'

writeFileSync(new URL('../docs/configuration.md', import.meta.url), configurationMarkdown())
