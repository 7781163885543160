// Edits of mine that are not in their documents, kept until I have put them back or sent them away.
// Invariant: a draft is nobody's but its writer's, and leaves this list only by the writer's own doing.

import type { Json } from '../ot/type.ts'
import type { Refusal } from '../protocol/errors.ts'
import type { DocId } from '../protocol/ids.ts'
import { InkwellError } from './errors.ts'
import { Damaged, draftKey, draftPrefix, schema } from './record.ts'
import type { Changes, Records } from './storage.ts'

/** `refused`: the server would not have it. `unknowable`: it may be in already. `unsent`: the document was closed before it was. */
export type DraftCause = 'refused' | 'unknowable' | 'unsent'

/** A draft as it is stored, and as it can be exported. */
export interface DraftJson {
  readonly schema: number
  readonly id: string
  readonly document: string
  /** Name of the document's type. */
  readonly type: string
  readonly cause: DraftCause
  readonly error: Pick<InkwellError, 'code' | 'message' | 'advice'> | null
  /** What the edit put in; empty for documents that are no text. */
  readonly text: string
  /** What the edit was made on, of a long text only what lay around it, and the edit. */
  readonly before: Json
  readonly op: Json
}

/** What can be told of a draft while its document is not open. */
export interface DraftNote {
  readonly id: string
  readonly document: string
  readonly cause: DraftCause
  /** Why; null where nobody refused. */
  readonly error: InkwellError | null
  /** What the edit put in; empty for documents that are no text. */
  readonly text: string
  /** Takes it off the list, and off the device. */
  discard(): void
  toJSON(): DraftJson
}

/** All drafts of one client, in the order in which they came back. */
export class Drafts {
  private readonly drafts = new Map<string, DraftJson>()
  private readonly changed: (document: string) => void

  /** `changed` is called with the document whose drafts are others now. */
  constructor(changed: (document: string) => void) {
    this.changed = changed
  }

  of(document: DocId): DraftJson[] {
    if (this.drafts.size === 0) return [] // this is asked for every key
    return this.all.filter(draft => draft.document === document)
  }

  get all(): DraftJson[] {
    return [...this.drafts.values()]
  }

  add(drafts: readonly DraftJson[]): void {
    for (const draft of drafts) this.drafts.set(draft.id, draft)
    for (const document of new Set(drafts.map(draft => draft.document))) this.changed(document)
  }

  delete(id: string, document: string): void {
    if (this.drafts.delete(id)) this.changed(document)
  }
}

export const errorOf = ({ error }: DraftJson): InkwellError | null => error && new InkwellError(error as Refusal)

export const keepDraft = (draft: DraftJson): Changes => [[draftKey(draft.document, draft.id), JSON.stringify(draft)]]
export const dropDraft = (draft: DraftJson): Changes => [[draftKey(draft.document, draft.id), null]]

/** The drafts among these records; `damaged` is told of what is none. */
export const readDrafts = (records: Records, damaged: (key: string, error: Damaged) => void): DraftJson[] =>
  [...records].flatMap(([key, text]) => {
    try {
      const draft = JSON.parse(text) as DraftJson
      if (key.startsWith(draftPrefix) && draft.schema === schema && draftKey(draft.document, draft.id) === key) return [draft]
      throw new Damaged('this is no draft')
    } catch (error) {
      damaged(key, error instanceof Damaged ? error : new Damaged(String(error)))
      return []
    }
  })
