// Runs the identity server on a data directory until it is killed. Prints `ready` when it takes requests.
// Argument: data directory.
import { writeSync } from 'node:fs'
import { loadConfig, startServer } from 'aims-server'

const [dataDirectory = ''] = process.argv.slice(2)
// Clients that work as fast as they can find what is lost.
const overrides = { trustDomain: 'example.com', dataDirectory, 'listen.port': 0, 'limits.issuance': 0 }
await startServer(await loadConfig({ env: {}, overrides }))
writeSync(1, 'ready\n')
