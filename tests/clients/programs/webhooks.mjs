// Verifies a delivery of a webhook with two libraries: node webhooks.mjs whsec_... '{"headers":...,"body":...}'
import { Webhook as Standard } from 'standardwebhooks';
import { Webhook as Svix } from 'svix';

const [secret, text] = process.argv.slice(2);
const { headers, body } = JSON.parse(text);
const verdict = (library) => {
  try {
    new library(secret).verify(body, headers);
    return true;
  } catch {
    return false;
  }
};
console.log(JSON.stringify({ standardwebhooks: verdict(Standard), svix: verdict(Svix) }));
