import type { Command } from 'commander'
import { defineBundle } from './verify/bundle.ts'
import { defineEvidence } from './verify/evidence.ts'
import { defineJwtSvid } from './verify/jwt-svid.ts'
import { defineRequest } from './verify/request.ts'
import { defineWit } from './verify/wit.ts'
import { defineWpt } from './verify/wpt.ts'
import { defineX509Svid } from './verify/x509-svid.ts'

/** `aims verify ...`: judges files offline. Nothing is fetched; the verdict is the exit code and one object. */
export function define(command: Command): void {
  defineWit(command)
  defineWpt(command)
  defineJwtSvid(command)
  defineX509Svid(command)
  defineBundle(command)
  defineRequest(command)
  defineEvidence(command, 'evidence')
}
