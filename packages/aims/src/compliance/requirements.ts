/** A requirement of the specifications AIMS implements, or a rule of our own, with what answers it. */
export interface RequirementRecord {
  /** `layer.topic.nn`, e.g. `identifiers.spiffe-id.03`. */
  readonly id: string
  /** Name of one of the nine layers. */
  readonly layer: string
  /** Document with its revision, and section. */
  readonly source: string
  readonly level: 'MUST' | 'MUST NOT' | 'SHOULD' | 'SHOULD NOT' | 'MAY' | 'OURS'
  readonly text: string
  /** `implemented`: at least one test cites it. */
  readonly status: 'implemented' | 'planned' | 'not-applicable'
  readonly note?: string
  /** Files of the repository that cite the requirement or follow its document; empty unless implemented. */
  readonly code: readonly string[]
  /** Test files of the repository that cite the requirement. */
  readonly tests: readonly string[]
}

/** How `renderRequirements` prints. */
export type RequirementsFormat = 'markdown' | 'json' | 'text'

/**
 * Prints a table of requirements: as Markdown for reports, as one JSON object, or as text for a terminal.
 *
 * It tells what the tests of this version of AIMS cover. It does not judge a deployment: that is an assessment of its
 * configuration and its log.
 *
 * @see draft-ietf-wimse-aims-00, section "Agent Compliance"
 */
export function renderRequirements(table: readonly RequirementRecord[], format: RequirementsFormat): string {
  return FORMATS[format](table)
}

const FORMATS: { readonly [format in RequirementsFormat]: (table: readonly RequirementRecord[]) => string } = {
  json: (table) => `${JSON.stringify({ summary: summaryOf(table), requirements: table })}\n`,
  markdown: (table) =>
    paragraphs('# Requirements', sentence(table), ...byLayer(table).map(([layer, rows]) => markdownLayer(layer, rows))),
  text: (table) => paragraphs(...byLayer(table).map(([layer, rows]) => textLayer(layer, rows)), sentence(table)),
}

function paragraphs(...texts: readonly string[]): string {
  return `${texts.join('\n\n')}\n`
}

interface Summary {
  readonly total: number
  readonly implemented: number
  readonly planned: number
  readonly notApplicable: number
}

function summaryOf(table: readonly RequirementRecord[]): Summary {
  const count = (status: RequirementRecord['status']): number => table.filter((row) => row.status === status).length
  return {
    total: table.length,
    implemented: count('implemented'),
    planned: count('planned'),
    notApplicable: count('not-applicable'),
  }
}

function sentence(table: readonly RequirementRecord[]): string {
  const { total, implemented, planned, notApplicable } = summaryOf(table)
  return `${total} requirements: ${implemented} implemented, ${planned} planned, ${notApplicable} not applicable`
}

function byLayer(table: readonly RequirementRecord[]): readonly (readonly [string, readonly RequirementRecord[]])[] {
  return [...Map.groupBy(table, (row) => row.layer)]
}

function markdownLayer(layer: string, rows: readonly RequirementRecord[]): string {
  const header = ['| id | level | requirement | status | source | code | tests |', '|---|---|---|---|---|---|---|']
  const lines = rows.map((row) =>
    [row.id, row.level, withNote(row), row.status, row.source, row.code.join(' '), row.tests.join(' ')]
      .map((cell) => ` ${cell.replaceAll('|', '\\|')} `)
      .join('|'),
  )
  return [`## ${layer}`, '', ...header, ...lines.map((line) => `|${line}|`)].join('\n')
}

function textLayer(layer: string, rows: readonly RequirementRecord[]): string {
  const width = Math.max(...rows.map((row) => row.id.length))
  const lines = rows.flatMap((row) => [
    `  ${row.status.padEnd(14)}  ${row.level.padEnd(10)}  ${row.id.padEnd(width)}  ${withNote(row)}`,
    ...row.tests.map((path) => `${' '.repeat(width + 32)}${path}`),
  ])
  return [layer, ...lines].join('\n')
}

function withNote(row: RequirementRecord): string {
  return row.note === undefined ? row.text : `${row.text} (${row.note})`
}
