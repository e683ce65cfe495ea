/** SHA-256 of the roots that certificates of `metadata.azure.com` have led to. The last one ended in 2025. */
export const AZURE_ROOTS: ReadonlySet<string> = new Set([
  // DigiCert Global Root G2.
  'cb3ccbb76031e5e0138f8dd39a23f9de47ffc35e43c1144cea27d46a5ab1cb5f',
  // DigiCert Global Root CA.
  '4348a0e9444c78cb265e058d5e8944b4d84f9662bd26db257f8934a443c70161',
  // Microsoft RSA Root Certificate Authority 2017.
  'c741f70f4b2a8d88bf2e71c14122ef53ef10eba0cfa5e64cfa20f418853073e0',
  // Baltimore CyberTrust Root.
  '16af57a9f676b0ab126095aa5ebadef22ab31119d644ac95cd4b93dbf3f26aeb',
])
