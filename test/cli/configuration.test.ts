// What flags and variables mean, without starting anything.

import { describe, expect, it } from 'vitest'
import { configurationOf } from '../../src/cli/configuration.ts'

const usual = {
  port: 3000,
  host: '127.0.0.1',
  store: { kind: 'embedded', path: './inkwell-data' },
  demo: false,
  logLevel: 'info',
  origins: undefined,
  transports: ['websocket'],
}

describe('what is said', () => {
  it('nothing at all is a sound configuration, open to this machine only', () => {
    expect(configurationOf({}, {})).toEqual(usual)
  })

  it('a flag wins over its variable, and INKWELL_PORT over PORT', () => {
    expect(configurationOf({}, { PORT: '1' })).toEqual({ ...usual, port: 1 })
    expect(configurationOf({}, { PORT: '1', INKWELL_PORT: '2' })).toEqual({ ...usual, port: 2 })
    expect(configurationOf({ port: '3' }, { PORT: '1', INKWELL_PORT: '2' })).toEqual({ ...usual, port: 3 })
  })

  it('every flag has a variable', () => {
    const environment = {
      INKWELL_HOST: '0.0.0.0',
      INKWELL_STORE: 'memory:',
      INKWELL_DEMO: 'true',
      INKWELL_LOG_LEVEL: 'debug',
      INKWELL_ORIGINS: 'https://a.example, https://b.example',
      INKWELL_TRANSPORTS: 'websocket,polling',
    }
    expect(configurationOf({}, environment)).toEqual({
      ...usual,
      host: '0.0.0.0',
      store: { kind: 'memory' },
      demo: true,
      logLevel: 'debug',
      origins: ['https://a.example', 'https://b.example'],
      transports: ['websocket', 'polling'],
    })
    expect(configurationOf({ store: 'embedded:/var/lib/with:colon' }, environment)).toMatchObject({
      store: { kind: 'embedded', path: '/var/lib/with:colon' },
    })
  })

  it('a Redis is asked for by its address, and REDIS_URL is what platforms call it', () => {
    const redis = { kind: 'redis', url: 'redis+cluster://a:7000,b:7000' }
    expect(configurationOf({ store: redis.url }, { REDIS_URL: 'redis://other' })).toMatchObject({ store: redis })
    expect(configurationOf({}, { REDIS_URL: redis.url })).toMatchObject({ store: redis })
    expect(configurationOf({}, { REDIS_URL: redis.url, INKWELL_STORE: 'memory:' })).toMatchObject({ store: { kind: 'memory' } })
  })

  it('the variables that Kubernetes sets beside a service of the name inkwell mean nothing', () => {
    const environment = {
      INKWELL_PORT: 'tcp://10.0.0.7:3000',
      INKWELL_PORT_3000_TCP_ADDR: '10.0.0.7',
      INKWELL_SERVICE_HOST: '10.0.0.7',
      INKWELL_SERVICE_PORT: '3000',
    }
    expect(configurationOf({}, environment)).toEqual(usual)
  })
})

describe('faults', () => {
  it('are all told at once, each by the flag or variable in which it stands', () => {
    const faults = configurationOf(
      { port: '70000', store: 'postgres://x', logLevel: 'loud' },
      { INKWELL_TRANSPORTS: 'websocket,pigeon', INKWELL_DEMO: 'maybe', INKWELL_PROT: '1', NODE_ENV: 'production' },
    )
    expect(faults).toEqual([
      expect.stringMatching(/^--port: /),
      expect.stringMatching(/^--store: "postgres/),
      expect.stringMatching(/^INKWELL_DEMO: /),
      expect.stringMatching(/^--log-level: /),
      expect.stringMatching(/^INKWELL_TRANSPORTS: /),
      expect.stringMatching(/^INKWELL_PROT: there is no such setting/),
      expect.stringMatching(/^NODE_ENV: in production nobody gets in/),
    ])
  })

  it('a faulty address of a Redis is one, told without its password', () => {
    const faults = configurationOf({ store: 'redis://ann:secret@localhost/first' }, {})
    expect(faults).toEqual([expect.stringMatching(/^--store: a database is a number/)])
    expect(JSON.stringify(faults)).not.toContain('secret')
    expect(configurationOf({}, { REDIS_URL: 'redis+elsewhere://localhost' })).toEqual([
      expect.stringMatching(/^REDIS_URL: is no address of a Redis/),
    ])
  })

  it.each(['', 'x', '-1', '65536', '3000x', '3.5'])('the port %j is one', port => {
    expect(configurationOf({ port }, {})).toEqual(['--port: must be a number from 0 to 65535'])
  })
})
