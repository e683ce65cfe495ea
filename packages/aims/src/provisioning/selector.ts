// The value may contain colons (a path, a digest); control characters never.
const SELECTOR = /^[a-z][a-z0-9_-]{0,31}:[a-z][a-z0-9_-]{0,31}:[^\p{Cc}]{1,1024}$/u

/** True for a well-formed selector `type:key:value`, e.g. `unix:uid:1000`. */
export function isSelector(text: string): boolean {
  return SELECTOR.test(text) && text.isWellFormed()
}
