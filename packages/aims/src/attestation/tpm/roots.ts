/** A maker of TPMs, or a cloud with virtual ones. */
export type TpmVendor = 'alibaba' | 'globalsign' | 'google' | 'infineon' | 'intel' | 'nationz' | 'nuvoton' | 'stmicro'

/**
 * CAs of makers of TPMs, by SHA-256 fingerprint of the certificate (lower-case hex), with their common names: data, and
 * nothing that is trusted by itself. There is no root above all TPMs, so an operator names the makers whose machines
 * there are, and gives their certificates as collateral.
 *
 * Where a maker's own root is not among them (Alibaba, Nationz), or hangs below a CA that nobody keeps any more
 * (Infineon until 2015), an intermediate CA can end a chain.
 */
export const TPM_VENDOR_CAS: { readonly [vendor in TpmVendor]: { readonly [fingerprint: string]: string } } = {
  alibaba: {
    '141805f04cd9b89bfbcd30cb792d5ca3a0a2382db6ee35720e6e27e4189e43a0': 'Aliyun TPM EKMF CA',
  },
  globalsign: {
    f27bf02c6e00c73d915eeb6a6a2f5fbf0c31ae0393149e6b5c31e41b113841c3: 'GlobalSign Trusted Platform Module Root CA',
  },
  infineon: {
    cfeb02fecd55ad7a73c6e1d11985d4c47dee248ab63dcb66091a2489660443c3: 'Infineon OPTIGA(TM) ECC Root CA',
    '899e35474c9807eb4c7f2f7a12da0028fb250cd02154d0009fca7d9c66574f3b': 'Infineon OPTIGA(TM) RSA Root CA',
    '10ef22859b0a98121129aa0c4647a91fd412a5a79f1c628db3bfea4278d49abf': 'IFX TPM EK Intermediate CA 01',
    '8a3e7db4445c4a795fb9e524db3ed2edf96f8423723f16ff5f71ca6b84a3e88c': 'IFX TPM EK Intermediate CA 15',
    b33027e90f3f47bb5c0c54b18451121af0211a568eca51b68927280707b42f0e: 'IFX TPM EK Intermediate CA 02',
    '2b2ab3993b854e496569fd1f187a383617eec1574bef0fa8c34bc013da40935f': 'IFX TPM EK Intermediate CA 03',
    c2b50c0544fbfae3f8257410818bd2228759c04150989982c1b42c397abf00a8: 'IFX TPM EK Intermediate CA 04',
    ed80849cf19acd6df5895ab47c6ec91555a3081b4696b900f8e346e777177aed: 'IFX TPM EK Intermediate CA 05',
    '608dd48ff87759f404917c7471ec8cbe7ad972c1699d810f0e1a70fb2b02573f': 'IFX TPM EK Intermediate CA 08',
    '504ff6a327a67e1025b1efdf1bce71ec5f38a4be68256def40bbdec2cce052f1': 'Infineon OPTIGA(TM) ECC Manufacturing CA 034',
    b0756a2cd3d1fda524409d7de5c064405b3c3e8792f8358435292ab2e7248543: 'Infineon OPTIGA(TM) TPM 2.0 ECC CA 042',
    f251134a62f1862992855707c4b3fe5155d47691228fc2a3477014cc30c0d888: 'Infineon OPTIGA(TM) RSA Manufacturing CA 034',
    b51df89142eac690cc57555da0e534a16378b302e0bad3edf0631a328b14ae98: 'Infineon OPTIGA(TM) TPM 2.0 RSA CA 042',
    cb1a77acd98db771d35b1977eb82485f0e0f64f6deb0577a97330b5b532eb7ed: 'IFX TPM EK Intermediate CA 17',
    '9cd83ef4897819d545d3cccccf33ba7947e34439a93c5d45a3f136303e1c248e': 'IFX TPM EK Intermediate CA 18',
    '73a42ded6eab007af264a51c5a3956092cdbf5a6d209303a4e0d57416d762067': 'IFX TPM EK Intermediate CA 20',
    '014df370f125f4bc18c9fc4b41c17ec2311e8514fc9b622f5a633c10287c1ebd': 'IFX TPM EK Intermediate CA 21',
    '7df2c3751c03ce003e99174d9cb2559f57a1b05b1920dd30bb6f8dfcf17f5e62': 'IFX TPM EK Root CA',
    aa6a2b54bfbf090b6a2a7abbe494a2b6b47520e1c2ed7807ba54efc99cbdb5c9: 'Infineon OPTIGA(TM) ECC Manufacturing CA 010',
    b559a84e6332a7b4e32b4d3739e372e3c517ba5a4ccffee1daaf80bc641628ee: 'Infineon OPTIGA(TM) ECC Manufacturing CA 011',
    '0fef986eb5e34a2df81420707c2452abdfe386a3038f23d7568fbcc3cf54bac6': 'Infineon OPTIGA(TM) RSA Manufacturing CA 010',
    a83379f92a341beb61b67f03506644940feb4b85ea504a9d2213bca52c889f89: 'Infineon OPTIGA(TM) RSA Manufacturing CA 011',
    d3c4ec52ed9289842c4f4e1e31fb23c4b03cc91163f9f3748b8a706d81113bed: 'Infineon OPTIGA(TM) RSA Manufacturing CA 022',
  },
  intel: {
    '2e1b3ba79af56d758be51697621bc4b9e8cee0983db3e749c55eb9b37c6d2ae0': 'TPM EK root CA of www.intel.com',
    e365738ed9d49110756b9fc3a72aae91e473db0f8c0aa4f3691f035c381480d7: 'TPM EK intermediate CA of www.intel.com',
  },
  nationz: {
    '44afc4b65d4f617143cf3085637e88e6ecc7710f9594b37f65a3dea82d300ba3': 'Nationz TPM Manufacturing CA 001',
  },
  nuvoton: {
    '56b67007f448bd5c5746299fcdea9323971bbdaaefd8e3b9b84773abc888c90e': 'NTC TPM EK Root CA 01',
    '8fac94b462b37acb84431bdc71395585caf518c17f656051ff9c4347a4726ed9': 'NTC TPM EK Root CA 02',
    '887bc9658ffc6ad7f4eeb85c8819772ff609ee64c4dac4a6dca654a39e94b289': 'Nuvoton TPM Root CA 0100',
    '2782e51a95e86d9557fe4204316cf805bd6f5898f81f9732e944d742bcdc5f54': 'Nuvoton TPM Root CA 1110',
    e38c280f7c0e0b49f31efc7531032bb6a86c3fba4eb89beb1d510eaa4510ae4a: 'Nuvoton TPM Root CA 1111',
    '4aebe77a51ed29959a7f9f5e07a24a558dee8167f3985d724995a541c258dfda': 'Nuvoton TPM Root CA 2110',
    cd8185ff8995ed09811970090a8c36fafab34ef87f47fa51fdb9ecf95c9c2e04: 'Nuvoton TPM Root CA 2111',
  },
  stmicro: {
    '015bcfc3943540d18691bf95c939b0e560b293a835b1c32ff1dced975376ac42': 'STM TPM ECC Intermediate CA 01',
    c541d7e5b9e3f935621acbd403896225ec641036c9ae3b5f7ac793a606ff9b79: 'STM TPM ECC Root CA 01',
    '6c3ba9f3ce8f095179e42b015fa1e81cf6e260e140fc5ffcb0dd418da5acafd7': 'STM TPM EK Intermediate CA 01',
    dc62a3b996414573df20bcaf013f0aae47b102e599f63b23c9bf0b6448a60b53: 'STM TPM EK Intermediate CA 02',
    '6b26c20162a9de2d0f69dbc8c04b95c127f5ca5b153d7a01a7a6cf9ab88ad834': 'STM TPM EK Intermediate CA 03',
    '25e87e5f9d8215e78b1a916d5d529b5ad9b3bfb52dbbf2d8c3ab211f6124caca': 'STM TPM EK Intermediate CA 04',
    '870fc181411d24c81e84ec45cd9bcc87b41253342ed688eee6d9139b31b44002': 'STM TPM EK Intermediate CA 05',
    '9343d2d7f3c8708526e6f224563bebda23f534c518f2a1a421ebcce01557247c': 'STM TPM EK Intermediate CA 06',
    '19bbcef93fc0877ae66eba97ade4e15c3d77054f39cd1183486f12b8fa5c42b2': 'STM TPM EK Intermediate CA 07',
    f8e37a86b689a20a6cc0c40cc3f81fb130fa9f44ce7ffa60d62590aaf87273a9: 'STM TPM EK Root CA',
  },
  google: {
    '594759594b9b61524f6c8ef668f7177f7b9066bc0674f2f49fe9e052be78beb2': 'EK/AK CA Root',
    '9bd5285f8fb18502a7947e621ffd470266f49fcd3b73e19a190f690ad32a7caf': 'tpm_ek_v1_cloud_host_root',
  },
}

/** Fingerprints of all CAs of these makers, for {@link TpmTrust.roots}. */
export function tpmVendorRoots(...vendors: readonly TpmVendor[]): ReadonlySet<string> {
  return new Set(vendors.flatMap((vendor) => Object.keys(TPM_VENDOR_CAS[vendor])))
}
