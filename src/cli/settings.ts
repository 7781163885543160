// Settings of a command: what its flags and variables say, read in one pass.
// Invariant: every fault is told, by the flag or variable in which it stands and without repeating a secret; a flag wins over a variable.

import { readFileSync } from 'node:fs'
import type { z } from 'zod'

/** A setting: its flag, what the help should say of it, and what holds when nobody says anything. */
export interface Setting {
  readonly flag: string
  /** Null: it is about this one call of the command. */
  readonly variable: string | null
  /** What platforms call it. */
  readonly alias?: string
  readonly says: string
  readonly otherwise?: string
  /** A secret, or long: it may stand in a file, which `--…-file` and `…_FILE` name. */
  readonly filed?: true
  /** The flag may be given again and again; what it says is joined by commas. */
  readonly many?: true
  readonly shape: z.ZodType
}

export type Settings = { readonly [name: string]: Setting }
export type Values<S extends Settings> = { readonly [name in keyof S]: z.output<S[name]['shape']> }

/** By the names of settings, with `File` after it for a file. */
export type Flags = { readonly [name: string]: string | boolean | undefined }
export type Environment = { readonly [name: string]: string | undefined }

export interface Reading<S extends Settings> {
  /** With a fault, nothing of it is to be used. */
  readonly values: Values<S>
  readonly faults: readonly string[]
  /** Where a value comes from: `--port`, `INKWELL_PORT`, `default`. */
  readonly sources: { readonly [name in keyof S]: string }
}

const wordOf = (flag: string): string => flag.split(' ', 1)[0]!

/** The flag that names a file, with the name under which its value arrives. */
export const fileFlag = (name: string, { flag }: Setting): { readonly flag: string; readonly name: string } => ({
  flag: `${wordOf(flag)}-file <path>`,
  name: `${name}File`,
})

/** All variables that a command heeds. */
export const variablesOf = (settings: Settings): readonly string[] =>
  Object.values(settings).flatMap(({ variable, filed }) =>
    variable === null ? [] : filed ? [variable, `${variable}_FILE`] : [variable],
  )

export const readSettings = <S extends Settings>(settings: S, flags: Flags, environment: Environment): Reading<S> => {
  const faults: string[] = []
  const sources: { [name: string]: string } = {}

  const read = (name: string): unknown => {
    const setting = settings[name]!
    const found = find(name, setting)
    if (typeof found === 'string') {
      faults.push(found)
      return undefined
    }
    const [source, value] = found
    sources[name] = source
    const { success, data, error } = setting.shape.safeParse(value)
    if (success) return data
    faults.push(...error.issues.map(({ message }) => `${source === 'default' ? wordOf(setting.flag) : source}: ${message}`))
    return undefined
  }

  /** The first place where something stands, and what; a fault when it cannot be read. */
  const find = (name: string, setting: Setting): readonly [source: string, value: string | boolean | undefined] | string => {
    const { flag, variable, alias, filed, otherwise } = setting
    const pairs: readonly (readonly [source: string, value: string | boolean | undefined, file: string | boolean | undefined])[] =
      [
        [wordOf(flag), flags[name], filed ? flags[fileFlag(name, setting).name] : undefined],
        ...(variable === null
          ? []
          : [[variable, environment[variable], filed ? environment[`${variable}_FILE`] : undefined] as const]),
        ...(alias === undefined ? [] : [[alias, environment[alias], undefined] as const]),
      ]
    for (const [source, value, file] of pairs) {
      const fileSource = source.startsWith('--') ? `${source}-file` : `${source}_FILE`
      if (value !== undefined && file !== undefined) return `${source}, ${fileSource}: one of them, not both`
      if (value !== undefined && !isOfKubernetes(source, value)) return [source, value]
      if (file === undefined) continue
      try {
        return [fileSource, readFileSync(String(file), 'utf8').replace(/\r?\n$/, '')] // editors end a file with one
      } catch (error) {
        return `${fileSource}: cannot be read (${(error as NodeJS.ErrnoException).code})`
      }
    }
    return ['default', otherwise]
  }

  const values = Object.fromEntries(Object.keys(settings).map(name => [name, read(name)]))
  // The casts: where a value is missing there is a fault.
  return { values: values as Values<S>, faults, sources: sources as Reading<S>['sources'] }
}

// Set in every pod next to a Kubernetes service that is called inkwell; INKWELL_PORT is then one of these, tcp://10.0.0.7:3000.
const ofKubernetes = /^INKWELL_(SERVICE_|PORT_\d)/
const isOfKubernetes = (name: string, value: string | boolean): boolean =>
  name.startsWith('INKWELL_') && typeof value === 'string' && value.startsWith('tcp://')

/** Variables that look like ours and are none. */
export const unknownVariables = (environment: Environment, known: readonly string[]): readonly string[] =>
  Object.keys(environment).filter(name => name.startsWith('INKWELL_') && !ofKubernetes.test(name) && !known.includes(name))
