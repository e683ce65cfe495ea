/** Why a process in a container could not be attested. */
export const CONTAINER_CODES = {
  'attestation.container_ambiguous': 'the control groups of the process name several containers or pods',
  'attestation.container_mismatch':
    'the process is not in the running container that its control group is named after: nobody is attested',
  'attestation.engine_unavailable':
    'the container engine does not answer as documented: is agent.docker.socket its socket, and may the agent use it',
} as const
