# curl: the plain wire. Needs no client at all.
row() { if "${@:2}"; then echo "$1 | works"; else echo "$1 | FAILS"; fi; }
ask() { curl -sS --fail-with-body -m 600 -H "Authorization: Bearer $OPENAI_API_KEY" "$@"; }
picture() { python3 -c 'import base64, json, sys
data = base64.b64decode(json.load(sys.stdin)["data"][0]["b64_json"])
open(sys.argv[1], "wb").write(data); sys.exit(data[:4] != b"\x89PNG")' "$1"; }

folder=$(mktemp -d); trap 'rm -r "$folder"' EXIT
draw() { ask "$OPENAI_BASE_URL/images/generations" -H "Content-Type: application/json" \
  -d '{"model": "storybook-sd", "prompt": "a red castle in a meadow"}' | picture "$folder/a.png"; }
edit() { ask "$OPENAI_BASE_URL/images/edits" -F model=storybook-sd -F prompt="a castle at night" \
  -F image=@"$folder/a.png" | picture "$folder/b.png"; }
talk() { ask "$OPENAI_BASE_URL/responses" -H "Content-Type: application/json" -N \
  -d '{"model": "storybook-grammar", "input": "a cat", "stream": true}' | grep -q response.completed; }
row "picture" draw
row "edit of a picture" edit
row "text by responses, streamed" talk
