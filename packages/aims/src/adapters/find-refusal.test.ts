import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findRefusal } from './fetch.ts'

const problem = (body: string | object, init: { type?: string; status?: number } = {}): Response => {
  const { type = 'application/problem+json', status = 401 } = init
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return new Response(text, { status, headers: { 'content-type': type } })
}
const told = {
  type: 'about:blank',
  title: 'Not authenticated',
  status: 401,
  code: 'authentication.refused',
  id: 'a1-b2',
}

test('a refusal tells its code, and what to ask the operator for; the response can still be read', async () => {
  const response = problem(told)
  const refusal = await findRefusal(response)
  assert.equal(refusal?.code, 'authentication.refused')
  assert.match(refusal?.message ?? '', /ask the operator for aims explain a1-b2/)
  assert.deepEqual(await response.json(), told)
  assert.equal(await findRefusal(response), undefined)
})

test('an id that is none is not repeated', async () => {
  for (const id of ['$(reboot)', '', '-rf', 'a b', '\u001b[2J', 1, 'x'.repeat(129)]) {
    const { message = '' } = (await findRefusal(problem({ ...told, id }))) ?? {}
    assert.ok(message !== '' && !message.includes('explain'))
  }
})

// One row per answer that is no refusal of ours.
for (const [title, response] of [
  ['a success', () => problem(told, { status: 200 })],
  ['another content type', () => problem(told, { type: 'application/json' })],
  ['a problem of somebody else', () => problem({ ...told, code: 'quota' })],
  ['a code named like something of objects', () => problem({ ...told, code: 'constructor' })],
  ['no JSON', () => problem('<html>')],
  ['a list', () => problem([told])],
  ['two codes', () => problem('{"code":"authentication.refused","code":"authentication.missing"}')],
  ['more than 16 KiB', () => problem({ ...told, title: 'x'.repeat(17_000) })],
  ['no body', () => new Response(null, { status: 401, headers: { 'content-type': 'application/problem+json' } })],
] as const) {
  test(`${title} is no refusal`, async () => {
    assert.equal(await findRefusal(response()), undefined)
  })
}
