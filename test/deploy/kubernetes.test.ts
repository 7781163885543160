// The manifests for Kubernetes. There is no cluster where the tests run: they are held against Kubernetes' own schema, against each
// other, and against the command; and the node that they describe is run, in the environment that they give it.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Deployment, StatefulSet } from 'kubernetes-models/apps/v1'
import { Ingress, NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1'
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1'
import { ConfigMap, type Container, Service } from 'kubernetes-models/v1'
import { expect, it } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { configurationOf, settings } from '../../src/cli/configuration.ts'
import { duration } from '../../src/cli/words.ts'
import { Run } from '../nodes.ts'
import { freePort } from '../ports.ts'
import { RedisServer } from '../redis.ts'
import { afterwards } from '../server/worlds.ts'
import { shipped } from './proxies.ts'

const models = { ConfigMap, Deployment, StatefulSet, Service, PodDisruptionBudget, NetworkPolicy, Ingress }
type Kind = keyof typeof models

const manifests = ['inkwell.yaml', 'redis.yaml'].flatMap(file =>
  parseAllDocuments(shipped(`kubernetes/${file}`)).map(document => ({ file, manifest: document.toJS() as { kind: Kind } })),
)
/** The only one of a kind and name; the casts below: the schema has been asked first. */
const the = <T>(kind: Kind, name: string): T =>
  manifests.find(({ manifest }) => manifest.kind === kind && (manifest as unknown as Named).metadata.name === name)!.manifest as T
interface Named {
  readonly metadata: { readonly name: string; readonly labels?: Labels }
}
type Labels = Readonly<Record<string, string>>

/** A value that notes by which names it is asked for what is in it: what nobody asks for is no part of the schema. */
const watched = (value: unknown, unasked: Set<string>, at = ''): unknown => {
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([key, inner]) => {
    const path = `${at}/${key}`
    if (!Array.isArray(value)) unasked.add(path)
    return [key, watched(inner, unasked, path)] as const
  })
  const copy = Array.isArray(value) ? entries.map(([, inner]) => inner) : Object.fromEntries(entries)
  return new Proxy(copy, {
    get(target, key, receiver) {
      unasked.delete(`${at}/${String(key)}`)
      return Reflect.get(target, key, receiver)
    },
  })
}

const faultsOf = (manifest: { kind: Kind }): string[] => {
  const unasked = new Set<string>()
  const { apiVersion } = manifest as { apiVersion?: string }
  const Model = models[manifest.kind] as unknown as { readonly prototype: { validate(): void }; readonly apiVersion: string }
  if (apiVersion !== Model.apiVersion) return [`apiVersion ${apiVersion}`]
  try {
    // The schema's own function, past the constructor: that would ask for everything, to copy it.
    Model.prototype.validate.call(watched(manifest, unasked))
  } catch (error) {
    return [(error as Error).message]
  }
  return [...unasked].map(path => `${path} is not in the schema`)
}

it.each(manifests.map(({ file, manifest }) => [file, manifest.kind, manifest] as const))(
  '%s: %s is what Kubernetes’ schema allows, and nothing that it does not know',
  (_file, _kind, manifest) => {
    expect(faultsOf(manifest)).toEqual([])
  },
)

it('a manifest with a misspelt field, a missing one or one of another type is not what it allows', () => {
  const copy = () =>
    structuredClone(the<{ kind: Kind; spec: Record<string, never> }>('Deployment', 'inkwell')) as never as {
      kind: Kind
      spec: { replicas: unknown; selector?: unknown; template: { spec: { containers: Record<string, unknown>[] } } }
    }
  const [misspelt, missing, wrong] = [copy(), copy(), copy()]
  misspelt.spec.template.spec.containers[0]!.redinessProbe = {}
  missing.spec.selector = undefined
  wrong.spec.replicas = 'three'
  expect(faultsOf(misspelt)).toEqual(['/spec/template/spec/containers/0/redinessProbe is not in the schema'])
  for (const one of [missing, wrong]) expect(faultsOf(one)).toHaveLength(1)
})

interface Workload extends Named {
  readonly spec: {
    readonly selector: { readonly matchLabels: Labels }
    readonly template: {
      readonly metadata: { readonly labels: Labels }
      readonly spec: {
        readonly terminationGracePeriodSeconds: number
        readonly containers: readonly [Container & { readonly envFrom?: readonly { configMapRef: { name: string } }[] }]
      }
    }
  }
}
const nodes = the<Workload>('Deployment', 'inkwell')
const redis = the<Workload>('StatefulSet', 'redis')
const [container] = nodes.spec.template.spec.containers
const config = the<{ data: Labels }>('ConfigMap', 'inkwell').data

it('services, budget and policies choose the pods that there are, by ports that they have', () => {
  for (const { spec } of [nodes, redis]) expect(spec.template.metadata.labels).toMatchObject(spec.selector.matchLabels)
  const chosen = (labels: Labels): readonly Workload[] =>
    [nodes, redis].filter(({ spec }) =>
      Object.entries(labels).every(([key, value]) => spec.template.metadata.labels[key] === value),
    )
  const portsOf = ({ spec }: Workload) => spec.template.spec.containers[0].ports ?? []
  for (const { manifest } of manifests) {
    const { spec } = manifest as never as {
      spec?: {
        selector?: Labels & { matchLabels?: Labels }
        podSelector?: { matchLabels: Labels }
        ports?: { targetPort: string }[]
        ingress?: { ports: { port: number }[] }[]
      }
    }
    if (manifest.kind === 'Service') {
      const [pods, ...others] = chosen(spec!.selector!)
      expect(others).toEqual([])
      const names = portsOf(pods!).map(({ name }) => name)
      for (const { targetPort } of spec!.ports!) expect(names).toContain(targetPort)
    }
    if (manifest.kind === 'PodDisruptionBudget') expect(chosen(spec!.selector!.matchLabels!)).toEqual([nodes])
    if (manifest.kind === 'NetworkPolicy') {
      const [pods] = chosen(spec!.podSelector!.matchLabels)
      const numbers = portsOf(pods!).map(({ containerPort }) => containerPort)
      for (const { ports } of spec!.ingress!) for (const { port } of ports) expect(numbers).toContain(port)
    }
  }
})

it('[P4] a pod has the time that it takes: the pause before, --stop-within, and two seconds', () => {
  const pause = Number((container.lifecycle!.preStop as { exec: { command: string[] } }).exec.command.at(-1))
  const within = duration.parse(config.INKWELL_STOP_WITHIN) / 1_000
  expect(nodes.spec.template.spec.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(pause + within + 2)
})

it('alive and ready are asked for apart, and the public is let in to nothing else than it needs', () => {
  const path = (probe: Container['livenessProbe']): unknown => probe?.httpGet?.path
  expect([container.startupProbe, container.livenessProbe, container.readinessProbe].map(path)).toEqual([
    '/livez',
    '/livez',
    '/readyz',
  ])
  const { rules } = the<{ spec: { rules: { http: { paths: { path: string }[] } }[] } }>('Ingress', 'inkwell').spec
  expect(rules.flatMap(({ http }) => http.paths.map(({ path }) => path))).toEqual(['/socket.io/', '/json/', '/v1/documents/'])
})

it('[P7] the node is sound in the environment that the manifests give it, ready, and measured', async () => {
  expect(container.envFrom).toEqual([{ configMapRef: { name: 'inkwell' } }])
  const folder = mkdtempSync(join(tmpdir(), 'inkwell-kubernetes-'))
  afterwards(() => rmSync(folder, { recursive: true }))
  const secrets: Labels = { 'jwt-secret': 'x'.repeat(64), 'admin-token': 'y'.repeat(32) }
  for (const [name, secret] of Object.entries(secrets)) writeFileSync(join(folder, name), `${secret}\n`)
  const store = await RedisServer.start({ settings: ['--appendonly', 'yes'] })
  afterwards(() => store.discard())
  const given = Object.fromEntries(
    (container.env ?? []).map(({ name, value, valueFrom }) => [
      name,
      valueFrom === undefined
        ? value!.replace('/run/secrets/inkwell', folder)
        : { store: store.url }[valueFrom.secretKeyRef!.key as 'store'],
    ]),
  )
  const environment = { ...config, ...given }
  expect(configurationOf({}, environment)).toMatchObject({ port: 3000, host: '0.0.0.0', stopWithin: 28_000 })
  expect(container.command).toEqual(['node', 'dist/cli/main.js', 'serve'])

  const ports = { clients: await freePort(), admin: await freePort() }
  const here = { INKWELL_HOST: '127.0.0.1', INKWELL_ADMIN_HOST: '127.0.0.1' }
  const run = new Run(['serve'], {
    ...environment,
    ...here,
    INKWELL_PORT: String(ports.clients),
    INKWELL_ADMIN_PORT: String(ports.admin),
  })
  afterwards(() => run.signal('SIGKILL'))
  await run.says(line => 'durability' in line)
  for (const probe of [container.livenessProbe, container.readinessProbe])
    expect((await fetch(`http://127.0.0.1:${ports.clients}${probe!.httpGet!.path}`)).status).toBe(200)
  const measured = await fetch(`http://127.0.0.1:${ports.admin}/metrics`, {
    headers: { authorization: `Bearer ${secrets['admin-token']}` },
  })
  expect(await measured.text()).toContain('inkwell_ready 1')
  run.signal('SIGTERM')
  expect(await run.ended).toBe(0)
})

it('Redis runs with redis.conf as compose.yaml runs it', () => {
  const compose = parse(shipped('compose.yaml')) as { services: { redis: { image: string } } }
  const [{ image, command }] = redis.spec.template.spec.containers
  expect(image).toBe(compose.services.redis.image)
  expect(command!.slice(0, 2)).toEqual(['redis-server', '/etc/inkwell/redis.conf'])
  expect(Object.keys(settings)).toContain('stopWithin')
})
