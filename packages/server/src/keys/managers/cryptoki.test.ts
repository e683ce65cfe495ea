import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type Cryptoki, loadCryptoki } from './cryptoki.ts'

const dir = mkdtempSync(join(tmpdir(), 'aims-cryptoki-'))
after(() => rmSync(dir, { recursive: true }))

// A module that takes its time, as one behind a network does, and only then looks at what it was given.
const SOURCE = `
#include <unistd.h>
struct attribute { unsigned long type; const unsigned char *value; unsigned long length; };
unsigned long C_Initialize(void *args) { return 0; }
unsigned long C_FindObjectsInit(unsigned long session, const struct attribute *template, unsigned long count) {
  usleep(500000);
  for (unsigned long i = 0; i < template->length; i += 1) if (template->value[i] != 'A') return 5;
  return 0;
}
`
writeFileSync(join(dir, 'slow.c'), SOURCE)
const compiled = spawnSync('cc', ['-shared', '-fPIC', '-o', join(dir, 'slow.so'), join(dir, 'slow.c')])
const options = compiled.status === 0 ? {} : { skip: 'there is no C compiler here' }

function find(cryptoki: Cryptoki): Promise<void> {
  const template = cryptoki.template([[1, Buffer.alloc(200, 'A')]])
  return cryptoki.call('C_FindObjectsInit', 1, template, template.count)
}

test('what a module works with stays as it is until it answers, whatever the collector does', options, async () => {
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  const cryptoki = await loadCryptoki(join(dir, 'slow.so'))
  let isDone = false
  const searches = Promise.all([find(cryptoki), find(cryptoki), find(cryptoki)]).finally(() => {
    isDone = true
  })
  const others: Buffer[] = []
  while (!isDone) {
    collect()
    for (let i = 0; i < 100; i += 1) others.push(Buffer.alloc(200, 'B'))
    await wait(10)
  }
  await assert.doesNotReject(searches)
})
