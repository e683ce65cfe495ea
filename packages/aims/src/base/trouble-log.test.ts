import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AimsError } from './errors.ts'
import { troubleLog } from './trouble-log.ts'

const away = (id: string): AimsError => new AimsError('operation.server_unreachable', `no answer (id ${id})`)

test('the same trouble is told once, another one again, and the end of it once', () => {
  const lines: string[] = []
  const trouble = troubleLog('aims agent', (line) => lines.push(line))
  trouble.over('the server answers again')
  trouble.tell(away('1'), 'cannot reach the server')
  trouble.tell(away('2'), 'cannot reach the server')
  trouble.tell(new AimsError('provisioning.agent_banned', 'banned'), 'cannot reach the server')
  trouble.tell(new Error('with a secret'), 'cannot reach the server')
  trouble.tell(new Error('with another'), 'cannot reach the server')
  trouble.over('the server answers again')
  trouble.over('the server answers again')
  trouble.tell(away('3'), 'cannot reach the server')
  assert.deepEqual(lines, [
    'aims agent: operation.server_unreachable: no answer (id 1)',
    'aims agent: provisioning.agent_banned: banned',
    'aims agent: cannot reach the server',
    'aims agent: the server answers again',
    'aims agent: operation.server_unreachable: no answer (id 3)',
  ])
})
