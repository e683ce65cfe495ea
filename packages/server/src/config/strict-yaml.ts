import type { AimsError } from 'aims/base'
import type { Document, Node, Range } from 'yaml'

/** A YAML document whose nodes all stand where they count, and where that is. */
export interface StrictDocument {
  /** `null` when the document is empty. */
  readonly contents: Node | null
  /** `FILE:LINE:COLUMN`. */
  at(range: Range | readonly [number, ...number[]] | null | undefined): string
}

/**
 * Reads YAML 1.2 or JSON. A key given twice, anchors, aliases and tags are refused: a file says what it means at the
 * place where it stands.
 *
 * @param refuse - Makes the error from a place and a reason.
 */
export async function parseStrictYaml(
  text: string,
  file: string,
  refuse: (where: string, reason: string) => AimsError,
): Promise<readonly StrictDocument[]> {
  const { isAlias, LineCounter, parseAllDocuments, visit } = await import('yaml')
  const lines = new LineCounter()
  const parsed = parseAllDocuments(text, { lineCounter: lines, uniqueKeys: true, merge: false })
  const documents: readonly Document.Parsed[] = Array.isArray(parsed) ? parsed : []
  const at: StrictDocument['at'] = (range) => {
    const { line, col } = lines.linePos(range?.[0] ?? 0)
    return `${file}:${line}:${col}`
  }
  for (const doc of documents) {
    const [problem] = [...doc.errors, ...doc.warnings]
    if (problem !== undefined) throw refuse(at(problem.pos), problem.message.split('\n', 1)[0] ?? 'not YAML')
    visit(doc, {
      Node: (_, node) => {
        if (isAlias(node) || node.anchor !== undefined)
          throw refuse(at(node.range), 'anchors and aliases are not used here')
        if (node.tag !== undefined) throw refuse(at(node.range), 'tags are not used here')
      },
    })
  }
  return documents.map(({ contents }) => ({ contents, at }))
}
