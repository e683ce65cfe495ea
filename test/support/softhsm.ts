import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const MODULES = ['/usr/lib/softhsm/libsofthsm2.so', '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so']

/** The module of SoftHSM2 on this machine, or why there is none. */
export function findSoftHsm(): { readonly module: string } | { readonly missing: string } {
  const module = MODULES.find(existsSync)
  return module === undefined ? { missing: 'SoftHSM2 is not installed (apt-get install softhsm2)' } : { module }
}

/** Makes a token in a new directory. The module reads where it is from the environment of the process: one per process. */
export function makeToken(label: string, pin: string): { readonly directory: string; readonly pinFile: string } {
  const directory = mkdtempSync(join(tmpdir(), 'aims-hsm-'))
  mkdirSync(join(directory, 'tokens'))
  const conf = join(directory, 'softhsm2.conf')
  writeFileSync(
    conf,
    `directories.tokendir = ${join(directory, 'tokens')}\nobjectstore.backend = file\nlog.level = ERROR\n`,
  )
  process.env.SOFTHSM2_CONF = conf
  const args = ['--init-token', '--free', '--label', label, '--so-pin', 'so-1234', '--pin', pin]
  execFileSync('softhsm2-util', args, { stdio: 'ignore' })
  const pinFile = join(directory, 'pin')
  writeFileSync(pinFile, `${pin}\n`, { mode: 0o600 })
  return { directory, pinFile }
}
