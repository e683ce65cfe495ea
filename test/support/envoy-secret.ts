// Secrets as Envoy reads them, by protobuf-es.
import assert from 'node:assert/strict'
import { type DescMessage, fromBinary, toJson } from '@bufbuild/protobuf'
import { isJsonObject, type JsonObject, type JsonValue, parsePem } from 'aims/base'
import type { AnyMessage } from 'aims/provisioning'
import { protobufPeer } from './protobuf-peer.ts'

// The part of envoy/extensions/transport_sockets/tls/v3 that SPIFFE uses.
const peer = protobufPeer({
  Secret: ['name string', 'tlsCertificate TlsCertificate', 'validationContext CertificateValidationContext =4'],
  TlsCertificate: ['certificateChain DataSource', 'privateKey DataSource'],
  CertificateValidationContext: ['trustedCa DataSource', 'customValidatorConfig TypedExtensionConfig =12'],
  TypedExtensionConfig: ['name string', 'typedConfig TypedConfig'],
  TypedConfig: ['typeUrl string', 'value bytes'],
  SPIFFECertValidatorConfig: ['trustDomains TrustDomain*'],
  TrustDomain: ['name string', 'trustBundle DataSource'],
  DataSource: ['inlineBytes bytes =2'],
})

/** What a secret says, with the PEM in it decoded. */
export interface ReadSecret {
  readonly name: string
  readonly certificates?: readonly Uint8Array[]
  /** PKCS#8. */
  readonly privateKey?: Uint8Array
  readonly trustedCa?: readonly Uint8Array[]
  /** Authorities by trust domain, when the SPIFFE validator is to be used. */
  readonly spiffe?: ReadonlyMap<string, readonly Uint8Array[]>
}

/** Reads a resource of a discovery response. */
export function readSecret({ typeUrl, value }: AnyMessage): ReadSecret {
  assert.equal(typeUrl, 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret')
  const secret = read(peer('Secret'), value)
  const name = String(secret.name)
  const { tlsCertificate, validationContext } = secret
  if (isJsonObject(tlsCertificate)) {
    const [privateKey] = pem(tlsCertificate.privateKey, 'PRIVATE KEY')
    assert.ok(privateKey !== undefined)
    return { name, certificates: pem(tlsCertificate.certificateChain, 'CERTIFICATE'), privateKey }
  }
  assert.ok(isJsonObject(validationContext))
  const { trustedCa, customValidatorConfig } = validationContext
  if (trustedCa !== undefined) return { name, trustedCa: pem(trustedCa, 'CERTIFICATE') }
  assert.ok(isJsonObject(customValidatorConfig) && isJsonObject(customValidatorConfig.typedConfig))
  assert.equal(customValidatorConfig.name, 'envoy.tls.cert_validator.spiffe')
  const { typeUrl: type, value: config } = customValidatorConfig.typedConfig
  assert.equal(type, 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig')
  const { trustDomains } = read(peer('SPIFFECertValidatorConfig'), Buffer.from(String(config), 'base64'))
  assert.ok(Array.isArray(trustDomains))
  const pairs = trustDomains.filter(isJsonObject).map((one) => {
    return [String(one.name), pem(one.trustBundle, 'CERTIFICATE')] as const
  })
  return { name, spiffe: new Map(pairs) }
}

function read(desc: DescMessage, bytes: Uint8Array): JsonObject {
  const message: JsonValue = toJson(desc, fromBinary(desc, bytes))
  assert.ok(isJsonObject(message))
  return message
}

function pem(source: JsonValue | undefined, label: string): readonly Uint8Array[] {
  assert.ok(isJsonObject(source))
  const blocks = parsePem(Buffer.from(String(source.inlineBytes), 'base64').toString())
  assert.ok(blocks.every((block) => block.label === label))
  return blocks.map(({ bytes }) => bytes)
}
