import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findUnixSelectorProblem } from './unix-selectors.ts'

for (const selector of [
  'unix:uid:0',
  'unix:user:alice',
  'unix:gid:4294967295',
  'unix:group:staff',
  'unix:supplementary_gid:27',
  'unix:supplementary_group:sudo',
  'unix:path:/opt/a:b/bot',
  `unix:sha256:${'0a'.repeat(32)}`,
  'unix:cgroup:/system.slice/bot.service',
  'systemd:unit:bot.service',
  `docker:image_config_digest:sha256:${'0a'.repeat(32)}`,
  `docker:image_digest:registry.example:5000/bot@sha256:${'0a'.repeat(32)}`,
  'docker:image_id:bot:latest',
  'docker:label:team:a:b',
  'docker:label:empty:',
  'docker:env:TEAM=',
  'k8s:ns:default',
  'constructor:name:x',
]) {
  test(`${selector} can be shown`, () => {
    assert.equal(findUnixSelectorProblem(selector), undefined)
  })
}

// One row per way to write what no attestor of ours ever shows.
for (const [selector, problem] of [
  ['unix:uuid:0', /unix selectors are uid, user/],
  ['unix:toString:0', /unix selectors are uid, user/],
  ['unix:uid:root', /unix:uid takes a number/],
  ['unix:uid:01', /unix:uid takes a number/],
  ['unix:user:1000', /unix:user takes a name/],
  ['unix:path:bin/bot', /unix:path takes an absolute path/],
  ['unix:sha256:0A', /unix:sha256 takes 64 lower-case hex digits/],
  ['docker:image_config_digest:bot:latest', /docker:image_config_digest takes sha256: and 64/],
  ['docker:image_digest:bot:latest', /docker:image_digest takes a name, @sha256:/],
  ['docker:label:team', /docker:label takes a key, a colon and a value/],
  ['docker:env:TEAM', /docker:env takes a name, = and a value/],
  ['docker:image-id:bot', /docker selectors are image_config_digest/],
  ['systemd:slice:a', /systemd selectors are unit/],
] as const) {
  test(`${selector} is told apart from what can be shown`, () => {
    assert.match(findUnixSelectorProblem(selector) ?? '', problem)
  })
}
