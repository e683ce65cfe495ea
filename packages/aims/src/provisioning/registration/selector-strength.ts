import type { RegistrationEntry } from '../entry.ts'

/**
 * What the selectors of an entry tell at best: one workload (`one`), what several could have at a time, such as an account or a
 * measured program (`several`), or only a class of workloads (`class`).
 */
export type SelectorStrength = 'one' | 'several' | 'class'

/**
 * Says what the selectors of an entry tell together: as much as the best of them. A selector of a kind that is not in the
 * tables counts as telling one workload: no verdict is made up for what is not known.
 *
 * @see AIMS ID-5: a shared role or service account is not the identity of an agent
 */
export function selectorStrength({ selectors }: Pick<RegistrationEntry, 'selectors'>): SelectorStrength {
  const strengths = selectors.map(strengthOf)
  return ORDER.find((one) => strengths.includes(one)) ?? 'class'
}

const ORDER: readonly SelectorStrength[] = ['one', 'several', 'class']

// Where it runs, with whom, or from which image: true of many at a time.
const CLASS: ReadonlySet<string> = new Set([
  'unix:gid',
  'unix:group',
  'unix:supplementary_gid',
  'unix:supplementary_group',
  'docker:image_id',
  'docker:image_digest',
  'docker:image_config_digest',
  'k8s:cluster',
  'k8s:ns',
  'k8s:node-name',
  'k8s:container-image',
  'k8s_psat:cluster',
  'k8s_psat:agent_ns',
  'k8s_psat:agent_node_name',
  'k8s_psat:agent_node_uid',
  'k8s_psat:agent_node_ip',
  'k8s_psat:agent_node_label',
  'aws_iid:account_id',
  'aws_iid:region',
  'aws_iid:az',
  'aws_iid:image',
  'aws:iam:account_id',
  'gcp_iit:project-id',
  'gcp_iit:zone',
  'azure_imds:subscription-id',
  'azure_imds:sku',
  'azure_msi:tenant-id',
  'azure_msi:subscription-id',
  'azure_msi:resource-group',
  'azure-cvm:tee',
  'azure-cvm:secure-boot',
  'tpm:manufacturer',
  'tpm:secureboot',
  'tpm:resident-key',
  'github:owner_id',
  'github:ref',
  'github:event_name',
  'github:runner_environment',
  'sgx:mrsigner',
  'sgx:isvprodid',
  'sgx:isvsvn',
  'tdx:mrseam',
  'tdx:mrowner',
  'sev-snp:policy',
  'sev-snp:product',
  'sev-snp:vmpl',
  'sev-snp:guest-svn',
])

// Accounts are meant for one and often given to several; a program may run more than once.
const SEVERAL: ReadonlySet<string> = new Set([
  'k8s:sa',
  'k8s_psat:agent_sa',
  'aws:iam:arn',
  'gcp_iit:sa',
  'azure_msi:identity-id',
  'azure_msi:principal-id',
  'unix:sha256',
  'sgx:mrenclave',
  'tdx:mrtd',
  'tdx:rtmr',
  'sev-snp:measurement',
  'tpm:pcr',
  'azure-cvm:pcr',
  'aws:nitro:pcr',
])

// Whatever runs in one of these has its path, whoever it is.
const INTERPRETER =
  /^(?:node|nodejs|deno|bun|python|pypy|ruby|perl|php|lua|java|dotnet|R|Rscript|julia|(?:ba|da|z|k|fi|c|tc)?sh|busybox|env|uv|uvx|npx|tsx)[0-9]*(?:\.[0-9]+)*(?:\.exe)?$/

function strengthOf(selector: string): SelectorStrength {
  const [type = '', key = '', ...rest] = selector.split(':')
  // The selectors of AWS have a part more in their names; registers are numbered.
  const names = [`${type}:${key}`, `${type}:${key}:${rest[0] ?? ''}`]
  for (const name of names.flatMap((one) => [one, one.replace(/[0-9]+$/, '')])) {
    if (CLASS.has(name)) return 'class'
    if (SEVERAL.has(name)) return 'several'
  }
  return type === 'unix' && key === 'path' && isInterpreter(rest.join(':')) ? 'class' : 'one'
}

/** True when a path is that of a program which runs the programs of others: its path tells nobody from another. */
function isInterpreter(path: string): boolean {
  return INTERPRETER.test(path.slice(path.lastIndexOf('/') + 1))
}
