import { appendFileSync } from 'node:fs'

/** One row of the table that `npm run bench` ends with. */
export interface Row {
  readonly id: string
  readonly measured: number
  /** `x`: how many times what it is compared with. */
  readonly unit: string
  /** What it is compared with, of the same run. Absent: with nothing. */
  readonly against?: string
  /** Absent: a figure to know, and no goal. */
  readonly limit?: Limit
}

/** How far a figure may go. */
export type Limit = { readonly atMost: number } | { readonly atLeast: number }

/** Prints a figure, with its goal where it has one, and remembers it for the table. */
export function settle(row: Row): void {
  const outcome = outcomeOf(row)
  console.log(`  ${outcome}  ${row.id}: ${shown(row)}${row.limit === undefined ? '' : ` ${limitOf(row.limit)}`}`)
  const { AIMS_BENCH_TABLE: table } = process.env
  if (table !== undefined) appendFileSync(table, `${JSON.stringify(row)}\n`)
}

export function outcomeOf({ measured, limit }: Row): 'met' | 'MISSED' | 'figure' {
  if (limit === undefined) return 'figure'
  const isMet = 'atMost' in limit ? measured <= limit.atMost : measured >= limit.atLeast
  return isMet ? 'met' : 'MISSED'
}

/** The rows as text, in columns. */
export function tableOf(rows: readonly Row[]): string {
  const cells = rows.map((row) => [
    row.id,
    row.against ?? '',
    row.limit === undefined ? '' : limitOf(row.limit),
    shown(row),
    outcomeOf(row),
  ])
  const table = [['goal', 'against, in the same run', 'limit', 'measured', ''], ...cells]
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...table.map((line) => line[column]?.length ?? 0)))
  return table
    .map((line) => `${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd())
    .join('\n')
}

function shown({ measured, unit }: Row): string {
  return `${measured.toFixed(measured < 100 ? 2 : 0)} ${unit}`
}

function limitOf(limit: Limit): string {
  return 'atMost' in limit ? `<= ${rounded(limit.atMost)}` : `>= ${rounded(limit.atLeast)}`
}

function rounded(limit: number): string {
  return String(Number(limit.toFixed(3)))
}
