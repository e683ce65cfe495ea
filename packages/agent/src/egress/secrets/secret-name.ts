/** Names of secrets, e.g. `weather-key`. */
export function isSecretName(name: string): boolean {
  return /^[a-z0-9][a-z0-9-]{0,62}$/.test(name)
}
