import { AimsError } from 'aims/base'

/** An argument of a function of a PKCS#11 module. Numbers are CK_ULONG, buffers and the records of templates are pointers. */
type Arg = number | bigint | Buffer | Template | null

/** A PKCS#11 module, loaded and initialised. */
export interface Cryptoki {
  /**
   * Calls a function off the main thread. What the arguments point to lives until it returns.
   *
   * @throws {@link AimsError} `operation.key_manager_*` by its return value
   */
  call(name: FunctionName, ...args: readonly Arg[]): Promise<void>
  /** A template: attributes as CK_ATTRIBUTE records. Pass it whole: the records alone do not keep the values alive. */
  template(attributes: readonly (readonly [type: number, value: Buffer])[]): Template
}

/** Attributes in the form of the module, and their values, to be read after a call that fills them. */
export interface Template {
  readonly records: Buffer
  readonly count: number
  readonly values: readonly Buffer[]
  /** The length that the module has set. */
  lengthOf(index: number): number
}

// CK_SESSION_HANDLE and the like are CK_ULONG.
const FUNCTIONS = {
  C_Initialize: '(void *args)',
  C_GetSlotList: '(uint8_t present, void *list, void *count)',
  C_GetTokenInfo: '(unsigned long slot, void *info)',
  C_OpenSession: '(unsigned long slot, unsigned long flags, void *application, void *notify, void *session)',
  C_CloseSession: '(unsigned long session)',
  C_Login: '(unsigned long session, unsigned long user, void *pin, unsigned long length)',
  C_GenerateKeyPair:
    '(unsigned long session, void *mechanism, void *pub, unsigned long pubCount, void *prv, unsigned long prvCount, void *pubKey, void *prvKey)',
  C_SignInit: '(unsigned long session, void *mechanism, unsigned long key)',
  C_Sign: '(unsigned long session, void *data, unsigned long length, void *signature, void *signatureLength)',
  C_FindObjectsInit: '(unsigned long session, void *template, unsigned long count)',
  C_FindObjects: '(unsigned long session, void *objects, unsigned long max, void *count)',
  C_FindObjectsFinal: '(unsigned long session)',
  C_GetAttributeValue: '(unsigned long session, unsigned long object, void *template, unsigned long count)',
  C_DestroyObject: '(unsigned long session, unsigned long object)',
} as const

export type FunctionName = keyof typeof FUNCTIONS

const WORD = 8
const ATTRIBUTE = 3 * WORD
const CKF_OS_LOCKING_OK = 2n

// Return values that do not mean failure, and those that mean that the manager says no rather than that it is not there.
const CKR_ALREADY_INITIALIZED = 0x191
const CKR_USER_ALREADY_LOGGED_IN = 0x100
const REFUSALS: ReadonlySet<number> = new Set([
  0x60, // key handle invalid
  0x63, // key type inconsistent
  0x68, // key function not permitted
  0x70, // mechanism invalid
  0x82, // object handle invalid
  0xd0, // template incomplete
  0xd1, // template inconsistent
])

/** Those that an operator can mend. */
const MEANINGS: ReadonlyMap<number, string> = new Map([
  [0xa0, 'the PIN in pinFile is not that of the token'],
  [0xa2, 'the PIN in pinFile has a length that the token does not take'],
  [0xa4, 'the token is locked after wrong PINs: unlock it with its own tools'],
  [0xe0, 'there is no token in the slot'],
  [0x102, 'the token has no user PIN yet: set one with its own tools'],
])

/** A call that failed, with the number that PKCS#11 gives the reason. */
export class CryptokiError extends AimsError {
  readonly returned: number

  constructor(name: FunctionName, returned: number) {
    const code = REFUSALS.has(returned) ? 'operation.key_manager_refused' : 'operation.key_manager_unavailable'
    const meaning = MEANINGS.get(returned)
    const said = `the PKCS#11 module answers ${name} with 0x${returned.toString(16)}`
    super(code, meaning === undefined ? said : `${said}: ${meaning}`)
    this.returned = returned
  }
}

/**
 * Loads a PKCS#11 module through koffi, on machines where CK_ULONG has 64 bits.
 *
 * @throws {@link AimsError} `operation.key_manager_unavailable`
 * @see PKCS #11 v2.40 base specification, section 5
 */
export async function loadCryptoki(path: string): Promise<Cryptoki> {
  const { default: koffi } = await import('koffi').catch((cause: unknown) => {
    throw new AimsError('operation.key_manager_unavailable', 'koffi cannot be loaded: install it', { cause })
  })
  if (process.platform !== 'linux' || koffi.sizeof('unsigned long') !== WORD) {
    throw new AimsError('operation.key_manager_unavailable', 'PKCS#11 modules are loaded on 64-bit Linux only')
  }
  const library = open(() => koffi.load(path))
  const functions = new Map<FunctionName, ReturnType<typeof library.func>>()
  // The collector does not see the addresses that another thread works with.
  const inUse = new Set<readonly Arg[]>()
  const run = async (name: FunctionName, args: readonly Arg[]): Promise<number> => {
    const known = functions.get(name) ?? open(() => library.func(`unsigned long ${name}${FUNCTIONS[name]}`))
    functions.set(name, known)
    inUse.add(args)
    try {
      return await new Promise<number>((resolve, reject) => {
        const done = (error: unknown, value: number | bigint) => (error ? reject(error) : resolve(Number(value)))
        known.async(...args.map(pointerOf), done)
      })
    } finally {
      inUse.delete(args)
    }
  }
  const call = async (name: FunctionName, ...args: readonly Arg[]): Promise<void> => {
    const returned = await run(name, args)
    const isDone =
      returned === 0 ||
      (name === 'C_Initialize' && returned === CKR_ALREADY_INITIALIZED) ||
      (name === 'C_Login' && returned === CKR_USER_ALREADY_LOGGED_IN)
    if (!isDone) throw new CryptokiError(name, returned)
  }
  // CK_C_INITIALIZE_ARGS: no functions of ours, the locks of the operating system.
  const init = Buffer.alloc(6 * WORD)
  init.writeBigUInt64LE(CKF_OS_LOCKING_OK, 4 * WORD)
  await call('C_Initialize', init)
  return {
    call,
    template(attributes) {
      const records = Buffer.alloc(ATTRIBUTE * attributes.length)
      const values = attributes.map(([, value]) => value)
      attributes.forEach(([type, value], index) => {
        records.writeBigUInt64LE(BigInt(type), index * ATTRIBUTE)
        records.writeBigUInt64LE(BigInt(koffi.address(value)), index * ATTRIBUTE + WORD)
        records.writeBigUInt64LE(BigInt(value.length), index * ATTRIBUTE + 2 * WORD)
      })
      const lengthOf = (index: number): number => Number(records.readBigUInt64LE(index * ATTRIBUTE + 2 * WORD))
      return { records, count: attributes.length, values, lengthOf }
    },
  }
}

function pointerOf(arg: Arg): Exclude<Arg, Template> {
  return typeof arg === 'object' && arg !== null && 'records' in arg ? arg.records : arg
}

function open<T>(load: () => T): T {
  try {
    return load()
  } catch (cause) {
    throw new AimsError('operation.key_manager_unavailable', 'the PKCS#11 module cannot be loaded', { cause })
  }
}
