import type { Command } from 'commander'
import { EVIDENCE_TYPES } from '../evidence-types.ts'
import { print } from '../output.ts'
import { defineAppraise } from './attest/appraise.ts'
import { defineCollect } from './attest/collect.ts'
import { defineForget } from './attest/forget.ts'
import { defineRefresh } from './attest/refresh.ts'
import { defineEvidence } from './verify/evidence.ts'

/** `aims attest ...`: evidence of platforms. */
export function define(command: Command): void {
  defineEvidence(command, 'verify')
  defineAppraise(command)
  defineCollect(command)
  defineRefresh(command)
  defineForget(command)
  command
    .command('types')
    .description('list the kinds of evidence: what each proves, and how it binds')
    .option('--json', 'print one JSON object and nothing else')
    .addHelpText('after', '\nExample:\n  $ aims attest types')
    .action(({ json }: { readonly json?: true }) => {
      if (json === true) {
        const types = EVIDENCE_TYPES.map(({ type, aliases, proves, binds }) => ({ type, aliases, proves, binds }))
        print({ ok: true, types }, true)
      } else {
        print(
          {
            ok: true,
            ...Object.fromEntries(
              EVIDENCE_TYPES.map(({ type, aliases, proves, binds }) => [
                type,
                [proves, `binding: ${binds}`, `also: ${aliases.join(', ')}`],
              ]),
            ),
          },
          false,
        )
      }
    })
}
