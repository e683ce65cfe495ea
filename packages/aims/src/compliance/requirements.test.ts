import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type RequirementRecord, renderRequirements } from './requirements.ts'

const rows: readonly RequirementRecord[] = [
  {
    id: 'identifiers.example.01',
    layer: 'identifiers',
    source: 'Example, section 1',
    level: 'MUST',
    text: 'is this | or that',
    status: 'implemented',
    code: ['src/a.ts'],
    tests: ['src/a.test.ts', 'src/b.test.ts'],
  },
  {
    id: 'policy.example.01',
    layer: 'policy',
    source: 'Example, section 2',
    level: 'MAY',
    text: 'comes later',
    status: 'planned',
    note: 'with reason',
    code: [],
    tests: [],
  },
]

describe('renderRequirements', () => {
  test('json is one object with the rows as they are and how many have which status', () => {
    assert.deepEqual(JSON.parse(renderRequirements(rows, 'json')), {
      summary: { total: 2, implemented: 1, planned: 1, notApplicable: 0 },
      requirements: rows,
    })
  })

  test('markdown is a table per layer, and a bar in a text does not break it', () => {
    assert.deepEqual(renderRequirements(rows, 'markdown').split('\n'), [
      '# Requirements',
      '',
      '2 requirements: 1 implemented, 1 planned, 0 not applicable',
      '',
      '## identifiers',
      '',
      '| id | level | requirement | status | source | code | tests |',
      '|---|---|---|---|---|---|---|',
      '| identifiers.example.01 | MUST | is this \\| or that | implemented | Example, section 1 | src/a.ts | src/a.test.ts src/b.test.ts |',
      '',
      '## policy',
      '',
      '| id | level | requirement | status | source | code | tests |',
      '|---|---|---|---|---|---|---|',
      '| policy.example.01 | MAY | comes later (with reason) | planned | Example, section 2 |  |  |',
      '',
    ])
  })

  test('text says the status first and ends with the count', () => {
    const lines = renderRequirements(rows, 'text').trimEnd().split('\n')
    assert.equal(lines[0], 'identifiers')
    assert.match(lines[1] ?? '', /^ {2}implemented +MUST +identifiers\.example\.01 +is this \| or that$/)
    assert.deepEqual(
      lines.slice(2, 4).map((line) => line.trim()),
      ['src/a.test.ts', 'src/b.test.ts'],
    )
    assert.equal(lines.at(-1), '2 requirements: 1 implemented, 1 planned, 0 not applicable')
  })

  test('an empty table is a table', () => {
    assert.equal(renderRequirements([], 'text'), '0 requirements: 0 implemented, 0 planned, 0 not applicable\n')
  })
})
