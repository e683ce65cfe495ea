#!/usr/bin/env node
// Only this file may run on any Node: it has no static imports, so that an old runtime gets one clear line.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
const supported = major > 24 || (major === 24 && minor >= 18) || (major === 22 && minor >= 23)

if (!supported) {
  process.stderr.write(`aims needs Node 22.23, 24.18 or newer; this is ${process.versions.node}\n`)
  process.exitCode = 2
} else if (process.argv.length === 3 && (process.argv[2] === '--version' || process.argv[2] === '-V')) {
  const { VERSION } = await import('./version.ts')
  process.stdout.write(`${VERSION}\n`)
} else {
  // Whoever reads our output may have seen enough: `aims audit list | head` is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.exit()
  })
  const { run } = await import('./cli.ts')
  process.exitCode = await run(process.argv.slice(2))
}

export {}
