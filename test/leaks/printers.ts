// Every way in which a program prints or copies an object, by accident or because a model asked for it.
import assert from 'node:assert/strict'
import { Console } from 'node:console'
import { Writable } from 'node:stream'
import { format, inspect } from 'node:util'
import { serialize } from 'node:v8'
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads'

export type Printer = (value: object) => string

/** What is told instead when an object refuses. */
const orRefusal =
  (print: Printer): Printer =>
  (value) => {
    try {
      return print(value)
    } catch (error) {
      return inspect(error)
    }
  }

function byConsole(value: object): string {
  let text = ''
  const sink = new Writable({
    write(chunk, _encoding, done) {
      text += chunk
      done()
    },
  })
  const console = new Console({ stdout: sink, stderr: sink })
  console.log(value)
  console.error('%o %O %j', value, value, 'x')
  console.table([value])
  console.dir(value, { showHidden: true, depth: null })
  return text
}

function byMessage(value: object): string {
  const { port1, port2 } = new MessageChannel()
  try {
    port1.postMessage(value)
    return inspect(receiveMessageOnPort(port2), { showHidden: true, depth: null })
  } finally {
    port1.close()
  }
}

function byAssertion(value: object): string {
  try {
    assert.deepEqual(value, { nothing: 'like it' })
    return ''
  } catch (error) {
    return inspect(error)
  }
}

export const PRINTERS: { readonly [name: string]: Printer } = Object.fromEntries(
  Object.entries<Printer>({
    'JSON.stringify': (value) => JSON.stringify(value),
    'JSON.stringify with a member': (value) => JSON.stringify({ tool: { result: [value] } }),
    'JSON.stringify with a replacer': (value) => JSON.stringify(value, (_key, inner) => inner),
    inspect: (value) => inspect(value, { depth: null }),
    'inspect with everything': (value) =>
      inspect(value, { depth: null, showHidden: true, getters: true, maxStringLength: null }),
    format: (value) => format('%s %j %o %O %d', value, 'x', value, value, value),
    'a template': (value) => `${value}`,
    'a concatenation': (value) => `${String(value)}${Object.prototype.toString.call(value)}`,
    'the console': byConsole,
    'a spread copy': (value) => inspect({ ...value }, { depth: null, showHidden: true }),
    'Object.entries': (value) => inspect(Object.entries(value), { depth: null }),
    'Object.assign': (value) => JSON.stringify(Object.assign({}, value)),
    'for in': (value) => {
      const all: unknown[] = []
      for (const name in value) all.push(name, Reflect.get(value, name))
      return inspect(all, { depth: null })
    },
    structuredClone: (value) => inspect(structuredClone(value), { depth: null, showHidden: true }),
    'v8.serialize': (value) => serialize(value).toString('latin1'),
    postMessage: byMessage,
    'the cause of an error': (value) => inspect(new Error('failed', { cause: value })),
    'a member of an error': (value) => inspect(Object.assign(new Error('failed'), { context: value })),
    'a failed assertion': byAssertion,
    'an array of an aggregate error': (value) => inspect(new AggregateError([value], 'failed')),
    'a map': (value) => inspect(new Map([['x', value]]), { depth: null, showHidden: true }),
  }).map(([name, print]) => [name, orRefusal(print)]),
)
