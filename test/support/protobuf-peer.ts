// Messages as protobuf-es reads and writes them, from a table in place of a .proto file.
import assert from 'node:assert/strict'
import { create, createFileRegistry, type DescMessage } from '@bufbuild/protobuf'
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_any,
  file_google_protobuf_struct,
} from '@bufbuild/protobuf/wkt'

/**
 * The fields of each message: `name type`, `*` for repeated, `{}` for a map from string, and ` =5` for a field number
 * other than that of its place.
 */
export interface ProtoTable {
  readonly [message: string]: readonly string[]
}

/** Finds the messages of a table by name. */
export function protobufPeer(table: ProtoTable): (name: string) => DescMessage {
  const registry = createFileRegistry(
    create(FileDescriptorSetSchema, {
      file: [
        file_google_protobuf_struct.proto,
        file_google_protobuf_any.proto,
        create(FileDescriptorProtoSchema, file(table)),
      ],
    }),
  )
  return (name) => {
    const found = registry.getMessage(name)
    assert.ok(found !== undefined)
    return found
  }
}

function file(table: ProtoTable): object {
  const messageType = Object.entries(table).map(([name, fields]) => ({
    name,
    field: fields.map((field, index) => descriptor(name, field, index + 1)),
    nestedType: fields.flatMap((field) => {
      const [fieldName = '', type = ''] = field.split(' ')
      if (!type.endsWith('{}')) return []
      return [
        {
          name: entryName(fieldName),
          options: { mapEntry: true },
          field: [descriptor(name, 'key string', 1), descriptor(name, `value ${type.slice(0, -2)}`, 2)],
        },
      ]
    }),
  }))
  return {
    name: 'peer.proto',
    syntax: 'proto3',
    dependency: ['google/protobuf/struct.proto', 'google/protobuf/any.proto'],
    messageType,
  }
}

function entryName(field: string): string {
  return `${field.charAt(0).toUpperCase()}${field.slice(1)}Entry`
}

const SCALARS: { readonly [type: string]: FieldDescriptorProto_Type } = {
  string: FieldDescriptorProto_Type.STRING,
  bytes: FieldDescriptorProto_Type.BYTES,
  int32: FieldDescriptorProto_Type.INT32,
  int64: FieldDescriptorProto_Type.INT64,
  bool: FieldDescriptorProto_Type.BOOL,
}

function descriptor(message: string, field: string, place: number): object {
  const [name = '', declared = '', fixed = `=${place}`] = field.split(' ')
  const type = declared.replace(/\*|\{\}/, '')
  const repeated = type !== declared
  const label = repeated ? FieldDescriptorProto_Label.REPEATED : FieldDescriptorProto_Label.OPTIONAL
  const common = { name, jsonName: name, number: Number(fixed.slice(1)), label }
  const scalar = SCALARS[type]
  if (scalar !== undefined && !declared.endsWith('{}')) return { ...common, type: scalar }
  const typeName = declared.endsWith('{}') ? `.${message}.${entryName(name)}` : `.${type}`
  return { ...common, type: FieldDescriptorProto_Type.MESSAGE, typeName }
}
