/** The time that work has. With `using` it leaves no timer behind, however early the work ends. */
export interface Deadline extends Disposable {
  /** Aborts at the end, or when whoever asked gives up. */
  readonly signal: AbortSignal
  /** Whether the time is up. */
  isOver(): boolean
}

/**
 * Starts a deadline. `AbortSignal.timeout` would keep a timer and its signal for the whole time, for each request.
 *
 * @param given - Gives up early.
 */
export function startDeadline(milliseconds: number, given?: AbortSignal): Deadline {
  const end = new AbortController()
  const over = (): void => end.abort(new DOMException('the time is up', 'TimeoutError'))
  const timer = setTimeout(over, milliseconds)
  return {
    signal: given === undefined ? end.signal : AbortSignal.any([end.signal, given]),
    isOver: () => end.signal.aborted,
    [Symbol.dispose]: () => clearTimeout(timer),
  }
}
