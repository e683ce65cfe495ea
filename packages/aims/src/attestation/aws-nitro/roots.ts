/** SHA-256 of "aws.nitro-enclaves", the root of the AWS Nitro Enclaves PKI, valid to 2049-10-28. */
export const AWS_NITRO_ROOTS: ReadonlySet<string> = new Set([
  '641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b',
])
