export { SIGNATURE_ALGORITHMS } from './algorithms.ts'
export { type Component, component } from './components.ts'
export {
  checkContentDigest,
  checkedBody,
  contentDigest,
  contentDigestOf,
  type DigestAlgorithm,
} from './content-digest.ts'
export type { Message, RequestMessage, ResponseMessage } from './message.ts'
export { type SignatureFields, type SigningOptions, signMessage, signMessageLocally } from './sign.ts'
export { readSignatures, signatureBase, signatureInput, toParameters, type UnverifiedSignature } from './signature.ts'
export { type SignatureExpectations, type VerifiedSignature, verifySignature } from './verify.ts'
