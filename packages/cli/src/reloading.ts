import { AimsError } from 'aims/base'
import { print, refusal } from './output.ts'
import { onHangup } from './running.ts'

/**
 * Reads policies again at every SIGHUP, and says which set is in force, or why it is still the one before.
 *
 * @param reload - The version in force; `undefined` where there are no policies.
 * @returns a function that stops it
 */
export function reloadOnHangup(reload: () => Promise<string | undefined>, json: boolean): () => void {
  return onHangup(() => {
    reload().then(
      (policySet) => print({ ok: true, policySet: policySet ?? 'none' }, json),
      (error: unknown) => {
        // What is no refusal is a defect, and the process ends as for any other.
        if (!AimsError.is(error)) throw error
        print(refusal(error), json)
      },
    )
  })
}
