// Writes docs/configuration.md and the table in docs/gateways.md from the tables of settings.
// Run with: node --conditions=aims:source tools/configuration-doc.ts
import { readFileSync, writeFileSync } from 'node:fs'
import { withGatewaySettings } from '../packages/cli/src/gateway/documentation.ts'
import { configurationMarkdown } from '../packages/server/src/config/documentation.ts'

writeFileSync(new URL('../docs/configuration.md', import.meta.url), configurationMarkdown())
const gateways = new URL('../docs/gateways.md', import.meta.url)
writeFileSync(gateways, withGatewaySettings(readFileSync(gateways, 'utf8')))
