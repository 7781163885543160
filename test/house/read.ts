// Reads what a source file names: modules, the world's clock and dice, and what it says of itself.
// Invariant: no import is overlooked; one whose module is only known when it runs is reported as undefined.

import { parseSync } from 'vite'

const impureGlobals = new Set(
  `setTimeout setInterval setImmediate clearTimeout clearInterval clearImmediate queueMicrotask requestAnimationFrame requestIdleCallback
  Date performance process console crypto Buffer require globalThis global window self document navigator location localStorage
  sessionStorage indexedDB fetch XMLHttpRequest WebSocket Worker BroadcastChannel alert`.split(/\s+/),
)

interface Reading {
  /** the module names in every static, dynamic and type import and re-export */
  readonly imports: readonly (string | undefined)[]
  /** the impure globals that the code refers to, as it names them */
  readonly globals: readonly string[]
  /** the comment at the very top, without its marks */
  readonly opening: string
}

interface Node {
  readonly type: string
  readonly [key: string]: unknown
}

export function read(path: string, text: string): Reading {
  const code = text.replace(/^#!.*\n/, '')
  const { program, comments, errors } = parseSync(path, code)
  if (errors.length > 0) throw new SyntaxError(`${path}: ${errors[0]!.message}`)

  const imports: (string | undefined)[] = []
  const declared = new Set<string>()
  const used = new Set<string>()
  walk({ type: 'Root', program }, undefined, '', (node, parent, key) => {
    const source = moduleNamed(node)
    if (source !== undefined) imports.push(stringIn(source))
    for (const name of namesDeclaredBy(node)) declared.add(name)
    if (node.type === 'Identifier' && !isMerelyAName(parent, key)) used.add(node.name as string)
    if (node.type === 'MemberExpression' && isIdentifier(node.object, 'Math') && propertyName(node) === 'random')
      used.add('Math.random')
  })
  // A name that the file declares itself (a parameter called `document`) is not the global.
  const globals = [...used].filter(name => name === 'Math.random' || (impureGlobals.has(name) && !declared.has(name)))
  return { imports, globals, opening: openingOf(code, comments) }
}

/** The node that holds the name of the module which this node loads or takes types from. */
function moduleNamed(node: Node): unknown {
  switch (node.type) {
    case 'ImportDeclaration':
    case 'ExportAllDeclaration':
    case 'ImportExpression':
    case 'TSImportType':
      return node.source
    case 'ExportNamedDeclaration':
      return node.source ?? undefined
    case 'TSExternalModuleReference':
      return node.expression
    case 'CallExpression':
      return isIdentifier(node.callee, 'require') ? list(node.arguments)[0] : undefined
    default:
      return undefined
  }
}

function namesDeclaredBy(node: Node): string[] {
  switch (node.type) {
    case 'VariableDeclarator':
    case 'ClassDeclaration':
    case 'TSTypeAliasDeclaration':
    case 'TSInterfaceDeclaration':
    case 'TSEnumDeclaration':
      return namesIn(node.id)
    case 'ImportSpecifier':
    case 'ImportDefaultSpecifier':
    case 'ImportNamespaceSpecifier':
      return namesIn(node.local)
    case 'CatchClause':
      return namesIn(node.param)
    case 'TSIndexSignature':
      return list(node.parameters).flatMap(namesIn)
    default: // a function, or the type of one
      return Array.isArray(node.params) ? [node.id, ...node.params].flatMap(namesIn) : []
  }
}

function namesIn(pattern: unknown): string[] {
  if (!isNode(pattern)) return []
  switch (pattern.type) {
    case 'Identifier':
      return [pattern.name as string]
    case 'ObjectPattern':
      return list(pattern.properties).flatMap(property =>
        namesIn(isNode(property) && property.type === 'Property' ? property.value : property),
      )
    case 'ArrayPattern':
      return list(pattern.elements).flatMap(namesIn)
    case 'RestElement':
      return namesIn(pattern.argument)
    case 'AssignmentPattern':
      return namesIn(pattern.left)
    case 'TSParameterProperty':
      return namesIn(pattern.parameter)
    default:
      return []
  }
}

/** Whether an identifier that hangs at `key` of `parent` is the name of a property or label, and refers to nothing. */
function isMerelyAName(parent: Node, key: string): boolean {
  if (parent.type === 'TSQualifiedName') return key === 'right'
  if (parent.type === 'TSEnumMember') return key === 'id'
  return parent.computed !== true && /^(property|key|imported|exported|label|meta)$/.test(key)
}

function walk(node: Node, parent: Node | undefined, key: string, visit: (node: Node, parent: Node, key: string) => void) {
  if (parent) visit(node, parent, key)
  for (const [name, value] of Object.entries(node)) {
    for (const child of list(value)) if (isNode(child)) walk(child, node, name, visit)
  }
}

/** The comment before the first code; lines that follow each other are one comment. */
function openingOf(code: string, comments: readonly { type: string; value: string; start: number; end: number }[]): string {
  let at = 0
  const lines: string[] = []
  for (const { type, value, start, end } of comments) {
    if (code.slice(at, start).trim() !== '') break
    lines.push(type === 'Block' ? value.replace(/^[ \t]*\*+/gm, '') : value)
    at = end
  }
  return lines.join('\n').trim()
}

function stringIn(node: unknown): string | undefined {
  if (!isNode(node)) return undefined
  if (node.type === 'Literal' && typeof node.value === 'string') return node.value
  if (node.type !== 'TemplateLiteral' || list(node.expressions).length > 0) return undefined
  return (list(node.quasis)[0] as { value: { cooked: string } }).value.cooked
}

function propertyName(node: Node): unknown {
  return node.computed === true ? stringIn(node.property) : (node.property as Node).name
}

function isIdentifier(node: unknown, name: string): boolean {
  return isNode(node) && node.type === 'Identifier' && node.name === name
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string'
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [value]
}
