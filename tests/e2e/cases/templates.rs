//! One function of each template, with packages and a data file: from plain to sealed, served, and locked
//! again.
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rsfaas_tests::canary::{Needles, Place, Secret, places::Files, search};

use super::{expect, own_processes};
use crate::{
    World, canary,
    host::{Error, check, eventually, run},
    http::{Connection, Request},
    images,
};

/// A template and a function of it.
pub(crate) struct Template {
    /// Its name.
    pub(crate) name: &'static str,
    /// The function in the stack file.
    pub(crate) function: &'static str,
    /// The folder that holds the function's files.
    files: &'static str,
    /// What `seal` says of how it is parked, and why so.
    parked: &'static str,
    /// What it answers, among others.
    answer: &'static str,
    /// A file of the author's, and a sentence in it that neither an image nor a container's layer may have.
    secret: (&'static str, &'static str),
}

const PYTHON: (&str, &str) = (
    "shop/catalogue.py",
    "Reads the goods from the data file beside this module.",
);

const GOODS: &str = "[\"apple\",\"plum\"]";

/// Every template, with a function: those first that take the longest to build.
pub(crate) const TEMPLATES: [Template; 7] = [
    Template {
        name: "golang-middleware",
        function: "goods-middleware",
        files: "goods-go",
        parked: "at the gate, before its process starts: the function's program itself comes with the handler",
        answer: GOODS,
        // A text that the compiled program has, too.
        secret: ("shop/shop.go", "the goods are out of reach"),
    },
    Template {
        name: "dockerfile",
        function: "goods-plain",
        files: "goods-docker",
        parked: "at the gate, before the container starts anything: the container starts the function itself",
        answer: GOODS,
        // Python, unless it is told otherwise, writes its bytecode beside this one.
        secret: (
            "prices.py",
            "Adds up what all of it costs that is for sale here.",
        ),
    },
    python("python3-flask", "goods-flask"),
    python("python3-flask-debian", "goods-flask-debian"),
    python("python3-http", "goods-http"),
    python("python3-http-debian", "goods-http-debian"),
    Template {
        name: "node",
        function: "goods-express",
        files: "goods-node",
        parked: "in the require of its handler: node loads the handler by a require",
        answer: GOODS,
        secret: ("shop/catalogue.js", "from the data file beside this module"),
    },
];

const fn python(name: &'static str, function: &'static str) -> Template {
    Template {
        name,
        function,
        files: "goods-python",
        parked: "in the import of its handler: python loads the handler by an import",
        // By a package that its manifest names.
        answer: "[\"apples\",\"plums\"]",
        secret: PYTHON,
    }
}

impl Template {
    /// Whether the templates of this host have it.
    pub(crate) fn is_there(&self, world: &World) -> bool {
        world.author.path("template").join(self.name).is_dir()
    }

    pub(crate) fn case(&self, world: &World) -> Result<(), Error> {
        let (author, host, agent) = (&world.author, &world.host, &world.agent);
        let function = self.function;
        let folder = author.path(function);
        run(Command::new("cp")
            .arg("-r")
            .arg(author.path(self.files))
            .arg(&folder))?;
        sign(&folder, function)?;
        let (file, sentence) = self.secret;
        let source = fs::read_to_string(folder.join(file))?;
        check!(source.contains(sentence), "{file} has not the sentence");
        let volumes = images::volumes()?;
        author.deploy(host, function)?;
        eventually("the plain function to answer", || {
            let answer = compact(Request::call(function, "").send(host)?);
            Ok(answer.status == 200 && answer.body.contains(self.answer))
        })?;
        let result = self.sealed(world);
        // Sealed or not: the next case needs the room.
        let opened = self.source_again(world);
        match fs::remove_file(agent.record_file(function)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let removed = author.remove(host, function);
        result?;
        check!(opened? == source, "{file} is not what the author wrote");
        removed?;
        eventually("the volumes to be those that were there before", || {
            Ok(images::volumes()?.is_subset(&volumes))
        })
    }

    /// The secret file as `unseal` gives it back, which also builds the function anew; once is enough for that.
    fn source_again(&self, world: &World) -> Result<String, Error> {
        let (author, host, function) = (&world.author, &world.host, self.function);
        let folder = tempfile::tempdir()?;
        let opened = if self.files == "goods-go" {
            author.unseal(host, &world.agent, function)?;
            author.path(function)
        } else {
            let opened = folder.path().join("opened");
            let mut open = host.rsfaas();
            open.arg("open")
                .arg(author.sealed(function))
                .arg("--key-file");
            run(open.arg(author.key_file(function)).arg("-o").arg(&opened))?;
            opened
        };
        Ok(fs::read_to_string(opened.join(self.secret.0))?)
    }

    fn sealed(&self, world: &World) -> Result<(), Error> {
        let (author, agent, function) = (&world.author, &world.agent, self.function);
        let said = author.seal(&world.host, agent, function)?;
        check!(said.contains(self.parked), "seal says:\n{said}");
        check!(
            said.contains("none of the handler's"),
            "seal has not proved that nothing is left:\n{said}"
        );
        images::check_without(&world.agent, self.function, self.secret.1)?;
        agent.wait_until_locked(function)?;
        expect(
            &Request::call(function, "").send(&world.host)?,
            423,
            function,
        )?;
        let request = Request::call(function, "").key(&author.key(function)?);
        for _ in 0..2 {
            let mut connection = Connection::open(&world.host)?;
            connection.write(&request.bytes())?;
            let answer = compact(connection.answer()?);
            expect(&answer, 200, "\"total\":7")?;
            expect(&answer, 200, self.answer)?;
            layers_are_without(world, self.secret.1)?;
            drop(connection);
            agent.wait_until_locked(function)?;
            let error = agent.function(function)?["last_error"].clone();
            check!(error.is_null(), "the close went wrong: {error}");
            expect(
                &Request::call(function, "").send(&world.host)?,
                423,
                function,
            )?;
        }
        Ok(())
    }
}

/// Nothing in the layers that the agent's containers write to holds a text, while the handler is delivered over them.
fn layers_are_without(world: &World, text: &str) -> Result<(), Error> {
    let layers: BTreeSet<PathBuf> = own_processes(world)?
        .iter()
        // What has ended meanwhile has none any more.
        .filter_map(|process| fs::read_to_string(process.join("mountinfo")).ok())
        .filter_map(|table| {
            let mut mounts = table.lines();
            let root = mounts.find(|mount| mount.split(' ').nth(4) == Some("/"))?;
            let mut options = root.split([' ', ',']);
            options
                .find_map(|option| option.strip_prefix("upperdir="))
                .map(PathBuf::from)
        })
        .collect();
    check!(!layers.is_empty(), "no container has a layer to write to");
    let layers: Box<dyn Place> = Box::new(Files::new("layers of containers", layers).optional());
    let needles = Needles::new(vec![Secret::new(canary::SOURCE, text.as_bytes())?])?;
    canary::nothing_is_left(&search(&[layers], &needles), |_| false)
}

/// Makes every file of a folder one that no other function has: what `seal` finds must be this one's.
fn sign(folder: &Path, function: &str) -> Result<(), Error> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sign(&path, function)?;
            continue;
        }
        let mut text = fs::read_to_string(&path)?;
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("py") | None => text += &format!("# {function}\n"),
            Some("go" | "js") => text += &format!("\n// {function}\n"),
            Some("json") => text.extend(function.bytes().flat_map(white)),
            Some(_) => {}
        }
        fs::write(&path, text)?;
    }
    Ok(())
}

/// A byte as white space, which JSON may end with.
fn white(byte: u8) -> impl Iterator<Item = char> {
    (0..8).map(move |bit| if byte >> bit & 1 == 0 { ' ' } else { '\n' })
}

/// Spaces in JSON are up to the template.
fn compact(mut answer: crate::http::Answer) -> crate::http::Answer {
    answer.body = answer.body.replace(": ", ":").replace(", ", ",");
    answer
}
