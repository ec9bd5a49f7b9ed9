import { Command, InvalidArgumentError, Option } from 'commander';

/** `subvocab zett`: give a model another tokenizer without training it again. */
export function zettCommand(): Command {
  const twin = () =>
    new Option('--twin <twin>', 'which implementation runs').choices(['ref', 'gpu']).default('gpu');
  const adapter = () => new Option('--adapter <text>', 'part of the name of the GPU adapter to use');
  const model = ['--model <folder>', 'a folder that samout train wrote: the source'] as const;
  const language = [
    '--language <name>',
    'which of its languages the tokens are of: name or number; only for one trained with --languages',
  ] as const;
  return new Command('zett')
    .description('give a model another tokenizer without training the model again')
    .addCommand(
      new Command('train')
        .description(
          "train a hypernetwork that predicts a model's embeddings for any vocabulary; Ctrl-C leaves a checkpoint",
        )
        .requiredOption('--model <folder>', 'a folder that samout train or demo text wrote: the source')
        .requiredOption(
          '--text <file...>',
          'text files, UTF-8: tokenizers are sampled from them, and the loss is theirs',
        )
        .option(
          '--languages',
          'each text file is a language of its own, named after it; tokens are marked with it',
        )
        .requiredOption('--out <folder>', 'where the hypernetwork, its metrics and its curve go')
        .option('--resume', 'continue the run in --out, with its settings')
        .option('--steps <n>', 'steps in all', integer(1), 400)
        .option(
          '--identity-steps <n>',
          'of them, steps of the warm-up on the tokens of the source',
          integer(0),
          200,
        )
        .option('--vocabulary <n>', 'pieces of a sampled tokenizer', integer(257), 1024)
        .option(
          '--hidden <n>',
          'features inside of the hypernetwork; default: those of the model',
          integer(1),
        )
        .option('--heads <n>', 'heads of its attention', integer(1), 4)
        .option('--batch <n>', 'rows of text per step', integer(1), 8)
        .option('--length <n>', 'predicted positions per row', integer(1), 64)
        .option('--identity-lr <x>', 'largest learning rate of the warm-up', number(0), 0.003)
        .option('--lr <x>', 'largest learning rate after it', number(0), 0.001)
        .option('--max-norm <x>', 'clip the norm of all gradients together', number(0), 1)
        .option('--drift <x>', 'weight of the drift loss', number(0), 0.5)
        .option('--seed <n>', 'start values, tokenizers and batches', integer(0), 0)
        .option('--save-every <n>', 'steps between checkpoints', integer(1), 100)
        .addOption(twin())
        .addOption(adapter())
        .option('--json', 'one line of JSON per step on stdout')
        .action(async (options) => (await import('./actions/zettTrain.ts')).train(options)),
    )
    .addCommand(
      new Command('transfer')
        .description('write the model with embeddings for another tokenizer')
        .requiredOption(...model)
        .requiredOption('--tokenizer <file>', 'a tokenizer.json')
        .requiredOption('--out <folder>', 'where the new model goes; samout generate and eval take it')
        .option('--hypernet <folder>', 'a folder that zett train wrote')
        .option(...language)
        .addOption(
          new Option('--method <name>', 'how rows are made')
            .choices(['hypernet', 'fvt', 'focus', 'lexical', 'random'])
            .default('hypernet'),
        )
        .option('--context <file>', 'text that focus takes its vectors from')
        .option('--shots <n>', 'go on training under the new tokenizer for this many steps', integer(1))
        .option('--shots-text <file...>', 'the text for these steps')
        .option('--shots-layers', 'train the layers in them, too, not only the tables')
        .option('--shots-lr <x>', 'learning rate of these steps', number(0), 0.001)
        .option('--batch <n>', 'rows of text per step', integer(1), 16)
        .option('--length <n>', 'predicted positions per row', integer(1), 64)
        .option('--seed <n>', 'of random rows and of batches', integer(0), 0)
        .addOption(twin())
        .addOption(adapter())
        .action(async (options) => (await import('./actions/zettUse.ts')).transferModel(options)),
    )
    .addCommand(
      new Command('eval')
        .description(
          'bits per byte with another tokenizer: the hypernetwork beside the baselines, and the source itself',
        )
        .requiredOption(...model)
        .requiredOption('--tokenizer <file...>', 'one tokenizer.json or several')
        .requiredOption('--text <file>', 'what to measure on')
        .option('--hypernet <folder...>', 'folders that zett train wrote, such as one per seed')
        .option(...language)
        .option('--context <file>', 'text that focus takes its vectors from; without it, focus is left out')
        .option('--seeds <n>', 'draws of the random rows', integer(1), 3)
        .option('--shots <list>', 'measure again after training so many steps on, such as 50,200', integers)
        .option('--shots-text <file...>', 'the text for these steps')
        .option('--shots-layers', 'train the layers in them, too, not only the tables')
        .option('--shots-lr <x>', 'learning rate of these steps', number(0), 0.001)
        .option('--batch <n>', 'rows of text per step', integer(1), 16)
        .option('--length <n>', 'predicted positions per row', integer(1), 64)
        .addOption(twin())
        .addOption(adapter())
        .option('--json', 'print JSON')
        .action(async (options) => (await import('./actions/zettUse.ts')).evaluateTransfer(options)),
    )
    .addCommand(
      new Command('add')
        .description('add words to a SUBVOCAB model by their text alone; subvocab sample then finds them')
        .requiredOption('--model <folder>', 'a folder that demo text wrote')
        .requiredOption(
          '--words <file>',
          'one word or phrase per line, as it stands in text: inside of a sentence it begins with its space',
        )
        .requiredOption('--out <folder>', 'where the model with more words goes')
        .option('--hypernet <folder>', 'a folder that zett train wrote for this model')
        .option(...language)
        .addOption(
          new Option('--method <name>', 'how rows are made')
            .choices(['hypernet', 'fvt', 'random'])
            .default('hypernet'),
        )
        .option('--seed <n>', 'of random rows', integer(0), 0)
        .addOption(twin())
        .addOption(adapter())
        .action(async (options) => (await import('./actions/zettAdd.ts')).addToModel(options)),
    );
}

/** An option that is an integer of at least `least`. */
function integer(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < least) {
      throw new InvalidArgumentError(`It must be an integer of at least ${least}.`);
    }
    return value;
  };
}

/** An option that is a list of integers, as 50,200. */
function integers(text: string): number[] {
  return text.split(',').map(integer(1));
}

/** An option that is a finite number of at least `least`. */
function number(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isFinite(value) || value < least) {
      throw new InvalidArgumentError(`It must be a number of at least ${least}.`);
    }
    return value;
  };
}
