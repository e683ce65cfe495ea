export { diffPolicySets, type PolicyDiff } from './diff.ts'
export { loadPolicyDirectory, readPolicyDirectory } from './policy-directory.ts'
export { findPolicyProblems, type Policy, type PolicyFile, type PolicySet, parsePolicySet } from './policy-set.ts'
export { formatPolicyProblem, type PolicyProblem } from './problem.ts'
