// From where a request comes, as far as limits go.
// Invariant: what a client writes into a header counts for nothing unless the operator has said that a proxy stands in front.

import type { IncomingMessage } from 'node:http'
import { isIPv4, isIPv6 } from 'node:net'

/**
 * `proxies` in front each append to X-Forwarded-For who called them, so the last ones are theirs and all before them is hearsay. Of an
 * IPv6 address its network counts, the first 64 bits: whoever has one address there has all of them.
 */
export const addressOf = ({ headers, socket }: Pick<IncomingMessage, 'headers' | 'socket'>, proxies: number): string => {
  const { remoteAddress = '' } = socket
  if (proxies === 0) return networkOf(remoteAddress)
  const forwarded = headers['x-forwarded-for'] ?? ''
  const hops = (Array.isArray(forwarded) ? forwarded.join(',') : forwarded).split(',').map(hop => hop.trim())
  return networkOf(hops.at(-proxies) || remoteAddress)
}

const networkOf = (address: string): string => {
  if (isIPv4(address)) return address
  const plain = address.replace(/^\[?(?:::ffff:(?=\d+\.))?|\]?$/gi, '')
  if (!isIPv6(plain)) return plain.slice(0, longest)
  const [head = '', tail] = plain.toLowerCase().replace(/%.*$/, '').split('::')
  const first = head === '' ? [] : head.split(':')
  const last = tail === undefined || tail === '' ? [] : tail.split(':')
  const gap = tail === undefined ? 0 : 8 - first.length - last.length
  const groups = [...first, ...Array.from({ length: gap }, () => '0'), ...last]
  return `${groups
    .slice(0, 4)
    .map(group => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`
}

const longest = 45 // characters of the longest address there is; what is no address is not kept at any length

/**
 * Whether a program of this very machine asks, and by the machine's own name: not for somebody whom a proxy here brings, nor for a page
 * whose name leads here.
 */
export const isLocal = ({ headers, socket }: Pick<IncomingMessage, 'headers' | 'socket'>): boolean => {
  const from = (socket.remoteAddress ?? '').replace(/^::ffff:/, '')
  const brought = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-real-ip']
  return (
    (from === '::1' || /^127(\.\d+){3}$/.test(from)) &&
    brought.every(name => headers[name] === undefined) &&
    /^(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/i.test(headers.host ?? '')
  )
}
