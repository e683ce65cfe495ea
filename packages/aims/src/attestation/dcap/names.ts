/** Kinds of quotes, as they stand in the names of collateral. */
export type DcapTee = 'sgx' | 'tdx'

/** Which CA of Intel issued a PCK: for platforms of several packages, or for single processors. */
export type PckCa = 'platform' | 'processor'

/** The names under which the verifiers of SGX and TDX ask for collateral. All certificates are PEM, leaf first. */
export const dcapCollateralNames = {
  /** What `/{sgx,tdx}/certification/v4/tcb?fmspc=` answers, byte by byte. */
  tcbInfo: (tee: DcapTee, fmspc: string): string => `intel/${tee}/tcb/${fmspc}.json`,
  /** Its header `TCB-Info-Issuer-Chain`, URL-decoded. */
  tcbInfoChain: (tee: DcapTee, fmspc: string): string => `intel/${tee}/tcb/${fmspc}.chain.pem`,
  /** What `/{sgx,tdx}/certification/v4/qe/identity` answers, byte by byte. */
  qeIdentity: (tee: DcapTee): string => `intel/${tee}/qe-identity.json`,
  /** Its header `SGX-Enclave-Identity-Issuer-Chain`, URL-decoded. */
  qeIdentityChain: (tee: DcapTee): string => `intel/${tee}/qe-identity.chain.pem`,
  /** What `/sgx/certification/v4/pckcrl?ca=...&encoding=der` answers. */
  pckCrl: (ca: PckCa): string => `intel/pck-crl/${ca}.der`,
  /** What `https://certificates.trustedservices.intel.com/IntelSGXRootCA.der` answers. */
  rootCrl: 'intel/root-ca-crl.der',
} as const
