import type { Fields } from '../attestation/verifier-settings.ts'
import { VERIFIER_TYPES } from '../attestation/verifier-types.ts'
import type { SettingsTable } from './config.ts'
import { RELATIONSHIP_MEMBERS } from './federation-setting.ts'
import { environmentName, SETTINGS, type Setting } from './settings.ts'

/** `docs/configuration.md`, made from the table of settings. */
export function configurationMarkdown(): string {
  return `# Configuration

Generated from \`packages/server/src/config/settings.ts\` by \`node tools/configuration-doc.ts\`; change it there.

One file serves \`aims server\`, \`aims agent\` and \`aims dev\`. It is YAML 1.2 or JSON, nested by the dots of the keys:

\`\`\`yaml
trustDomain: example.com
dataDirectory: /var/lib/aims
listen:
  port: 8443
  dnsNames: [aims.example.com]
profiles:
  aims-00: 2027-03-31
\`\`\`

* An unknown key, a key given twice, a value of the wrong kind: the program does not start, exits with 2 and names file,
  line, column and key (\`operation.config_invalid\`). Anchors, aliases and tags are refused.
* Every key has an environment variable, which beats the file. Lists are written with commas, profiles as
  \`aims-00=2027-03-31\`.
* Durations are seconds, or \`90s\`, \`5m\`, \`1h\`, \`7d\`. Paths in the file start at its directory, others at the working
  directory.

${settingsMarkdown(SETTINGS)}

## \`attestation\`

A type of evidence is accepted when it has a member here, be it \`{}\`; an unknown setting stops the start. Paths are
absolute. What each type proves and how it binds: [layer 3](layers/3-attestation.md).

\`\`\`yaml
attestation:
  github: {}
  tpm:
    vendors: [infineon, stmicro]
\`\`\`

| type | setting | kind | absent | meaning |
|---|---|---|---|---|
${VERIFIER_TYPES.flatMap(({ type, settings }) => settingRows(type, settings)).join('\n')}

## \`federation\`

One member for each other trust domain, by its name. What stands here cannot be changed over the API; what is taken out ends at
the next start. How it works: [federation](federation.md).

\`\`\`yaml
federation:
  partner.example:
    url: https://aims.partner.example:8443/v1/bundle?include=wit-svid
    profile: https_spiffe
    endpointSpiffeId: spiffe://partner.example/aims/server
    bundleFile: partner.json
\`\`\`

| member | kind | absent | meaning |
|---|---|---|---|
${RELATIONSHIP_MEMBERS.map(([member, form, absent, doc]) => `| \`${member}\` | ${form} | ${absent} | ${doc} |`).join('\n')}
`
}

/** A table of settings, as the documentation shows it. */
export function settingsMarkdown<C extends object>(table: SettingsTable<C>): string {
  const rows = (Object.keys(table) as (keyof C & string)[]).map((key) => row(key, table[key]))
  return `| key | kind | default | variable | meaning |\n|---|---|---|---|---|\n${rows.join('\n')}`
}

function settingRows(type: string, settings: Fields): readonly string[] {
  return Object.entries(settings).map(
    ([name, { form, absent, doc }]) => `| \`${type}\` | \`${name}\` | ${form} | ${absent} | ${doc} |`,
  )
}

function row<T, C>(key: string, { type, default: fallback, doc }: Setting<T, C>): string {
  const shown =
    fallback === undefined ? '**needed**' : 'shown' in fallback ? fallback.shown : show(fallback.value, type.print)
  return `| \`${key}\` | ${type.name} | ${shown} | \`${environmentName(key)}\` | ${doc} |`
}

function show<T>(value: T, print: (value: T) => string = String): string {
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return 'none'
  return `\`${Array.isArray(value) ? value.join(', ') : print(value)}\``
}
