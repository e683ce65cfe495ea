// node --conditions=aims:source interop/spire/live.ts DIRECTORY: with `spire-server` and `spire-agent` of the directory.
// By hand, because building SPIRE takes many minutes and gigabytes: `go build ./cmd/spire-server ./cmd/spire-agent` in
// github.com/spiffe/spire.
import { belowSpire } from './below.ts'
import { withSpire } from './programs.ts'
import { underSpire } from './under.ts'

const [, , directory] = process.argv
if (directory === undefined) throw new TypeError('the directory with spire-server and spire-agent is needed')
for (const scenario of [belowSpire, underSpire]) await withSpire(directory, scenario)
