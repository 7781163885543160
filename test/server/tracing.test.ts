// The spans of an edit, over two nodes, in the hands of a real tracer of OpenTelemetry.

import { context, trace } from '@opentelemetry/api'
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  ParentBasedSampler,
  SimpleSpanProcessor,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace-base'
import { afterEach, expect, it } from 'vitest'
import { connect } from '../../src/client/index.ts'
import { traceEdits } from '../../src/client/tracing/index.ts'
import type { AuthorId, DocId, Seq, Version } from '../../src/protocol/ids.ts'
import { traceOf } from '../../src/server/trace.ts'
import { followEdits } from '../../src/server/tracing.ts'
import { redisStore } from '../../src/stores/redis.ts'
import { RedisServer } from '../redis.ts'
import { afterwards, opens, serving } from './worlds.ts'

afterEach(() => {
  trace.disable()
  context.disable()
})

/** A tracer of the application's, for the whole process. */
const tracer = (options: ConstructorParameters<typeof BasicTracerProvider>[0] = {}) => {
  const exporter = new InMemorySpanExporter()
  trace.setGlobalTracerProvider(new BasicTracerProvider({ ...options, spanProcessors: [new SimpleSpanProcessor(exporter)] }))
  const spans = (kind?: string) =>
    exporter.getFinishedSpans().filter(({ name }) => kind === undefined || name === `inkwell ${kind}`)
  return { exporter, spans }
}

const idOf = (author: string, seq: number) => traceOf('notes' as DocId, author as AuthorId, seq as Seq)

it('[P7] one edit is one trace over all nodes: committed here, heard there, delivered in both places', async () => {
  const redis = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  afterwards(() => redis.discard())
  const { spans } = tracer()
  const [near, far] = [
    await serving({ store: redisStore(redis.url), traceRatio: 1 }),
    await serving({ store: redisStore(redis.url), traceRatio: 1 }),
  ]
  const [ann, ben] = [await opens(near, 'notes'), await opens(far, 'notes')]
  await ann.types('secret')
  await ben.showing('secret')
  await expect.poll(() => spans('deliver').length, { timeout: 60_000 }).toBe(2)
  const { traceId, spanId } = idOf(ann.author, 1)
  const all = spans()
  expect(all.map(({ name }) => name).sort()).toEqual(['inkwell commit', 'inkwell deliver', 'inkwell deliver', 'inkwell hear'])
  expect(new Set(all.map(span => span.spanContext().traceId))).toEqual(new Set([traceId]))
  const [commit, hear] = [spans('commit')[0]!, spans('hear')[0]!]
  for (const span of [commit, hear]) {
    expect(span.parentSpanContext).toMatchObject({ spanId, isRemote: true })
    expect(span.attributes).toMatchObject({
      'inkwell.document': 'notes',
      'inkwell.author': ann.author,
      'inkwell.seq': 1,
      'inkwell.version': 1,
    })
  }
  expect(
    spans('deliver')
      .map(span => span.parentSpanContext?.spanId)
      .sort(),
  ).toEqual([commit, hear].map(span => span.spanContext().spanId).sort())
  expect(all.map(({ attributes }) => JSON.stringify(attributes)).join()).not.toContain('secret')
})

it('[P7] one keystroke is one trace from the page on: the edit at its author’s, its commit, its delivery', async () => {
  const { spans } = tracer()
  const url = await serving({ traceRatio: 1 })
  const ben = await opens(url, 'notes')
  const client = connect(url)
  afterwards(() => client.close())
  const doc = await client.open('notes')
  const stop = traceEdits(doc, { ratio: 1 })
  const since = Date.now()
  doc.insert(0, 'secret')
  await ben.showing('secret')
  await expect.poll(() => [spans('edit').length, spans('deliver').length], { timeout: 60_000 }).toEqual([1, 1])
  const { traceId, spanId } = idOf(doc.author!, 1)
  expect(
    spans()
      .map(({ name }) => name)
      .sort(),
  ).toEqual(['inkwell commit', 'inkwell deliver', 'inkwell edit'])
  expect(new Set(spans().map(span => span.spanContext().traceId))).toEqual(new Set([traceId]))
  const [edit, commit] = [spans('edit')[0]!, spans('commit')[0]!]
  for (const span of [edit, commit]) expect(span.parentSpanContext).toMatchObject({ spanId, isRemote: true })
  expect(edit.attributes).toEqual({ 'inkwell.document': 'notes', 'inkwell.author': doc.author, 'inkwell.seq': 1 })
  expect(edit.events.map(({ name }) => name)).toEqual(['sent'])
  const millis = ([s, ns]: readonly [number, number]) => s * 1_000 + ns / 1e6
  const times = [since, millis(edit.startTime), millis(edit.events[0]!.time), millis(edit.endTime)]
  expect(times).toEqual([...times].sort((a, b) => a - b))
  expect(JSON.stringify(edit.attributes)).not.toContain('secret')
  stop()
  doc.insert(0, 'x')
  await doc.settled('sequenced')
  await expect.poll(() => spans('commit').length).toBe(2)
  expect(spans('edit')).toHaveLength(1)
})

it('[P7] an edit that is handed back ends its span as an error, and those before and after it do not', async () => {
  const { spans } = tracer()
  const client = connect(await serving({ limits: { documentLength: 20 } }))
  afterwards(() => client.close())
  const doc = await client.open('notes')
  const drafts: string[] = []
  doc.on('draft', ({ text }) => drafts.push(text))
  afterwards(traceEdits(doc, { ratio: 1 }))
  doc.insert(0, 'short')
  await doc.settled('sequenced')
  doc.insert(5, ' but then far too long')
  await expect(doc.settled('sequenced')).rejects.toThrow('The document would be longer than the limit')
  doc.insert(0, '>')
  await doc.settled('sequenced')
  await expect.poll(() => spans('edit').length, { timeout: 60_000 }).toBe(3)
  const told = spans('edit').map(({ attributes, status }) => [attributes['inkwell.seq'] as number, status] as const)
  expect(told.sort(([a], [b]) => a - b)).toEqual([
    [1, { code: 0 }],
    [2, { code: 2, message: 'handed back' }],
    [3, { code: 0 }],
  ])
  expect(drafts).toEqual([' but then far too long'])
})

it('[P7] a refusal is a span of the edit that says why, and a batch is delivered once for each edit in it', async () => {
  const { spans } = tracer()
  const url = await serving({ traceRatio: 1 })
  const ann = await opens(url, 'notes')
  await Promise.all([ann.types('a', 0), ann.types('b', 0), ann.types('c', 0)])
  await ann.client.refused({ kind: 'submit', handle: ann.handle, seq: 9, position: ann.at, op: [99, 'x'] })
  expect(spans('deliver').map(({ attributes }) => attributes['inkwell.seq'])).toEqual([1, 2, 3])
  expect(spans('refuse')).toMatchObject([{ attributes: { 'inkwell.seq': 9, 'inkwell.refusal': 'bad-op' }, status: { code: 2 } }])
  expect(spans('refuse')[0]!.spanContext().traceId).toBe(idOf(ann.author, 9).traceId)
})

it('[P7] how many are kept is for the application’s sampler, which decides by the trace, so all nodes keep the same ones', async () => {
  const { spans } = tracer({
    sampler: new ParentBasedSampler({
      root: new TraceIdRatioBasedSampler(0),
      remoteParentSampled: new TraceIdRatioBasedSampler(0.5),
    }),
  })
  const ann = await opens(await serving({ traceRatio: 1 }), 'notes')
  for (let i = 0; i < 40; i++) await ann.types('x')
  const kept = new Set(spans('commit').map(({ attributes }) => Number(attributes['inkwell.seq'])))
  const expected = Array.from({ length: 40 }, (_, i) => i + 1).filter(seq => {
    const sampler = new TraceIdRatioBasedSampler(0.5)
    return sampler.shouldSample(context.active(), idOf(ann.author, seq).traceId).decision === 2
  })
  expect([...kept]).toEqual(expected)
  expect(kept.size).toBeLessThan(40)
})

it('[P7] a tracer that is registered later is served from then on', async () => {
  const ann = await opens(await serving({ traceRatio: 1 }), 'notes')
  await ann.types('x')
  const { spans } = tracer()
  await ann.types('y')
  expect(spans('commit').map(({ attributes }) => attributes['inkwell.seq'])).toEqual([2])
})

it('[P7] of a part of the edits there are spans, and on every node of the same ones', async () => {
  const redis = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  afterwards(() => redis.discard())
  const { spans } = tracer()
  const store = () => redisStore(redis.url)
  const [near, far] = [await serving({ store: store(), traceRatio: 0.5 }), await serving({ store: store(), traceRatio: 0.5 })]
  const [ann, ben] = [await opens(near, 'notes'), await opens(far, 'notes')]
  for (let i = 0; i < 60; i++) await ann.types('x')
  await ben.showing('x'.repeat(60))
  const seqs = (kind: string) => spans(kind).map(({ attributes }) => attributes['inkwell.seq'])
  expect(seqs('hear')).toEqual(seqs('commit'))
  expect(seqs('deliver').length).toBe(2 * seqs('commit').length)
  expect(seqs('commit').length).toBeGreaterThan(0) // of 60 fair coins
  expect(seqs('commit').length).toBeLessThan(60)
})

it('[P7] edits of several documents are delivered each under its own, also when their frames wait', () => {
  const { spans } = tracer()
  let now = 1_000
  const tell = followEdits(() => now, 1)
  const who = { author: 'ann_____________' as AuthorId, user: 'ann', connection: 'line' }
  const commits = (doc: string, version: number) =>
    tell({ kind: 'committed', doc: doc as DocId, ...who, seq: version as Seq, version: version as Version, ms: 1 })
  const delivers = (doc: string, version: number) =>
    tell({ kind: 'delivered', doc: doc as DocId, version: version as Version, commits: 1, readers: 2, behind: 0, ms: 1 })
  commits('one', 1)
  commits('two', 1)
  commits('one', 2)
  now += 30
  delivers('one', 1)
  now += 30
  delivers('two', 1)
  delivers('one', 2)
  delivers('one', 2) // nothing is left to be told of
  const millis = ([s, ns]: readonly [number, number]) => s * 1_000 + ns / 1e6
  expect(
    spans('deliver').map(({ attributes, startTime, endTime }) => [
      attributes['inkwell.document'],
      attributes['inkwell.version'],
      Math.round(millis(endTime) - millis(startTime)),
    ]),
  ).toEqual([
    ['one', 1, 30],
    ['two', 1, 60],
    ['one', 2, 60],
  ])
})
