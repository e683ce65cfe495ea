/** A card of A2A 1.0 as its author writes it, without anything about identity. */
export function agentCard(url = 'https://planner.example.com/a2a'): object {
  return {
    name: 'Planner',
    description: 'Plans trips',
    version: '1.0.0',
    supportedInterfaces: [{ url, protocolBinding: 'JSONRPC', protocolVersion: '1.0' }],
    capabilities: { streaming: false, pushNotifications: false },
    defaultInputModes: ['text/plain'],
    defaultOutputModes: ['text/plain'],
    skills: [{ id: 'plan', name: 'Plan', description: 'Plans a trip', tags: ['trips'] }],
  }
}
