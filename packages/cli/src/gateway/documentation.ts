import { settingsMarkdown } from 'aims-server'
import { GATEWAY_SETTINGS } from './settings.ts'

const GENERATED = /(<!-- Generated from .*? -->\n\n)[\s\S]*?(<!-- End -->)/

/** `docs/gateways.md` with the table of settings as it is now. */
export function withGatewaySettings(page: string): string {
  return page.replace(GENERATED, (_, start: string, end: string) => {
    return `${start}${settingsMarkdown(GATEWAY_SETTINGS)}\n\n${end}`
  })
}
