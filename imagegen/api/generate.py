"""Draw pictures from a prompt through the API, and save them: one of chapter 11's two scripts.

python -m imagegen.api.generate "a cat on a beach at sunset" --n 2 --out results
"""

from imagegen.api.command import connected, parser, save_all
from imagegen.recipe import slug


def main(arguments: list[str] | None = None) -> None:
    """Ask for the pictures and save each under a new name."""
    options = parser("imagegen.api.generate", "Draw pictures from a prompt, through the API.")
    options.add_argument("prompt")
    options.add_argument("--quality", default="auto", help="low, medium, high or auto")
    options.add_argument("--format", default="png", help="png, jpeg or webp")
    given = options.parse_args(arguments)
    with connected(given.base_url) as client:
        response = client.images.generate(
            model=given.model,
            prompt=given.prompt,
            n=given.n,
            size=given.size,
            quality=given.quality,
            output_format=given.format,
            extra_body={} if given.seed is None else {"seed": given.seed},
        )
        save_all(response, given.out, slug(given.prompt))


if __name__ == "__main__":
    main()
