import type { Command } from 'commander'
import { defineFederate } from './bundle/federate.ts'
import { defineMap } from './bundle/map.ts'
import { defineShow } from './bundle/show.ts'

/** `aims bundle`: what is trusted, of the own trust domain and of others. */
export function define(command: Command): void {
  defineShow(command)
  defineFederate(command)
  defineMap(command)
}
