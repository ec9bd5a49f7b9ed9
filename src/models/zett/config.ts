import { ArgumentError } from '../../core/errors.ts';

/** What a hypernetwork is made of. */
export interface HypernetConfig {
  /** Features of the source model's embeddings. */
  readonly width: number;
  /** The source model uses its embedding as the head too: then there is one table to read and one to predict. */
  readonly tied: boolean;
  /** Features inside of the hypernetwork. @defaultValue width */
  readonly hidden: number;
  /** Features inside of its feed-forward layers and projections. @defaultValue 2 hidden */
  readonly inner: number;
  /** Must divide `hidden`. @defaultValue 4 */
  readonly heads: number;
  /** @defaultValue 3 */
  readonly layers: number;
  /** Source pieces of a token that are read. @defaultValue 7 */
  readonly length: number;
  /** Single bytes that the source has no token for: rows of their own, which are learned. @defaultValue 0 */
  readonly extra: number;
  /** Languages that a token can be marked with; 0: none. @defaultValue 0 */
  readonly languages: number;
  /** Added to the variance in layer normalisation. @defaultValue 1e-6 */
  readonly layerNormEps: number;
}

/** Fill in the defaults and check. @throws ArgumentError naming the field, its value and what it may be */
export function hypernetConfig(
  given: Partial<HypernetConfig> & Pick<HypernetConfig, 'width' | 'tied'>,
): HypernetConfig {
  const op = 'hypernet';
  const hidden = given.hidden ?? given.width;
  const defaults = {
    hidden,
    inner: 2 * hidden,
    heads: 4,
    layers: 3,
    length: 7,
    extra: 0,
    languages: 0,
    layerNormEps: 1e-6,
  };
  const config: HypernetConfig = { ...defaults, ...given };
  const known = [...Object.keys(defaults), 'width', 'tied'];
  for (const name of Object.keys(given)) {
    if (!known.includes(name))
      throw new ArgumentError(op, `there is no field "${name}"; there are ${known.join(', ')}`);
  }
  for (const [name, least] of [
    ['width', 1],
    ['hidden', 1],
    ['inner', 1],
    ['heads', 1],
    ['layers', 0],
    ['length', 1],
    ['extra', 0],
    ['languages', 0],
  ] as const) {
    if (!Number.isSafeInteger(config[name]) || config[name] < least) {
      throw new ArgumentError(op, `${name} is ${config[name]}; it must be an integer of at least ${least}`);
    }
  }
  if (config.hidden % config.heads !== 0) {
    throw new ArgumentError(op, `heads is ${config.heads}; it must divide hidden, which is ${config.hidden}`);
  }
  if (config.length > 255) throw new ArgumentError(op, `length is ${config.length}; it must be at most 255`);
  if (!(config.layerNormEps > 0))
    throw new ArgumentError(op, `layerNormEps is ${config.layerNormEps}; it must be above 0`);
  return config;
}
