# Everything a person does with this repository, one line each. Needs Python 3.11 or newer.
PYTHON ?= python3
BIN = .venv/bin
QUICK = $(addprefix tests/test_, house.py notebooks.py quiz.py recipe.py schedule.py storybook.py)
A = 01_first_image
# In a container one is often root, which Jupyter wants to hear said.
AS_ROOT = $(if $(filter 0,$(shell id -u)),--allow-root)

lab: .venv/installed        ## open the course in JupyterLab
	$(BIN)/jupyter lab $(AS_ROOT) --LabApp.default_url=/lab/tree/chapters/01_first_image.ipynb

studio: .venv/installed     ## serve the painting studio as a page of its own
	$(BIN)/python -m imagegen.studio

test: .venv/installed       ## prove that all of it works
	bash .ci/browser
	bash .ci/sandbox
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder \
	  --nbval-lax --nbval-current-env tests chapters solutions

check: .venv/installed      ## what to run before a commit: style, rules and quick tests
	$(BIN)/ruff check . && OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 -m "not slow" $(QUICK)

clients: .venv/installed    ## try the local server with clients that others wrote
	$(BIN)/python tests/clients/run.py

chapters: .venv/installed   ## run every chapter from a fresh kernel and store its outputs
	OMP_NUM_THREADS=1 $(BIN)/python -m classroom.publish chapters/*.ipynb

quizzes: .venv/installed    ## build the quizzes from the item bank and the solutions
	$(BIN)/python -m classroom.quizbank

grade: .venv/installed      ## grade what lies in submitted/ (make grade A=03_forward_process)
	$(BIN)/python -m classroom grade $(A)
	$(BIN)/python -m classroom report $(A)
	$(BIN)/python -m classroom feedback $(A) && $(BIN)/nbgrader export

stamp: .venv/installed      ## write the repository's address into badges, first cells and README
	$(BIN)/python -m classroom.publish && $(BIN)/python -m classroom.quizbank

models: .venv/installed     ## train the models in assets/models again
	$(BIN)/python -m imagegen.training

site: .venv/site            ## build the course as a website, with the model alive in it (needs npm)
	OMP_NUM_THREADS=1 $(BIN)/python site/build.py

site-serve: .venv/site      ## show the website that `make site` has built
	$(BIN)/python site/serve.py

site-test: .venv/site       ## prove that the website works, in a real browser
	bash .ci/browser
	OMP_NUM_THREADS=1 $(BIN)/pytest site/test_built.py

.venv/site: site/requirements.txt .venv/installed
	$(BIN)/pip install --no-compile -r site/requirements.txt
	@touch $@

.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "This course needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --no-compile -r requirements.txt
	@touch $@

.PHONY: lab studio test check clients chapters quizzes grade models stamp site site-serve site-test
