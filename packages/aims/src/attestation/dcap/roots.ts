/** SHA-256 over the DER of "Intel SGX Root CA", valid to 2049-12-31. Impostors carry the same name: it is pinned by its bytes. */
export const INTEL_SGX_ROOT_CA = '44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3'
