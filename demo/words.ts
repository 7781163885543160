// Names for documents that nobody has named: two words and a number that can be read out over a telephone.

const qualities = ['quiet', 'amber', 'brisk', 'clear', 'early', 'gentle', 'green', 'lucky', 'misty', 'plain', 'silver', 'warm']
const things = [
  'harbour',
  'meadow',
  'lantern',
  'paper',
  'river',
  'orchard',
  'window',
  'feather',
  'garden',
  'bridge',
  'island',
  'letter',
]

/** @param random answers a number from 0 to below 1 */
export const freshName = (random: () => number): string => {
  const pick = (words: readonly string[]) => words[Math.floor(random() * words.length)]!
  return `${pick(qualities)}-${pick(things)}-${10 + Math.floor(random() * 90)}`
}
