use super::*;

#[test]
fn copies_of_the_context_and_what_follows_them_go() {
    let text = "FROM python:3\nWORKDIR /app\nRUN useradd app\nCOPY requirements.txt ./\nRUN pip \
                install -r requirements.txt\n# the rest\nCOPY --chown=app . .\nRUN touch x \\\n  && touch \
                y\nENV A=1\nUSER app\nCMD [\"python\", \"server.py\"]\n";
    assert_eq!(
        strip(text, &[]).unwrap(),
        "FROM python:3\nWORKDIR /app\nRUN useradd app\nCOPY requirements.txt ./\nRUN pip install -r \
         requirements.txt\nENV A=1\nUSER app\nCMD [\"python\", \"server.py\"]\n"
    );
}

#[test]
fn what_is_copied_from_a_stage_that_had_the_files_goes_too() {
    let text = "FROM watchdog AS watchdog\nFROM golang AS Build\nCOPY . /src\nRUN go build -o \
                /handler\nFROM build AS tested\nRUN /handler --test\nFROM debian\nRUN useradd app\nCOPY \
                --from=watchdog /fwatchdog /\nCOPY --chown=app --from=build /handler /\nRUN strip \
                /handler\nCMD [\"/fwatchdog\"]\n";
    assert_eq!(
        strip(text, &[]).unwrap(),
        "FROM watchdog AS watchdog\nFROM golang AS Build\nFROM build AS tested\nFROM debian\nRUN useradd \
         app\nCOPY --from=watchdog /fwatchdog /\nCMD [\"/fwatchdog\"]\n"
    );
}

#[test]
fn only_manifests_at_the_top_are_none_of_the_authors() {
    let own = ["a.py", "secret.json", "src"].map(OsStr::new);
    for (copy, clean) in [
        ("COPY package.json package-lock.json ./", true),
        ("COPY [\"./package.json\", \"/app/\"]", true),
        ("ADD https://example.org/x.tar /x/", true),
        ("COPY src/package.json ./", false),
        ("COPY *.json ./", false),
        ("COPY package*.json ./", true),
        ("COPY [\"./package*.json\", \"/app/\"]", true),
        ("COPY package*.json a.py ./", false),
        ("COPY package*.json s?c ./", false),
        ("COPY src/package*.json ./", false),
        ("COPY package[s-].json* ./", false),
        ("COPY $A* ./", false),
        ("COPY * ./", false),
        ("COPY [\"a.py\", \"/app/\"]", false),
        ("COPY handler.py requirements.txt ./", false),
        ("COPY --from=other a.py ./", true),
        ("copy . .", false),
    ] {
        let stages = Stages {
            own: &own,
            ..Stages::default()
        };
        assert_eq!(stages.is_clean_copy(&format!("{copy}\n")), clean, "{copy}");
    }
}

#[test]
fn a_dockerfile_with_nothing_of_the_authors_is_refused() {
    assert_eq!(
        strip("FROM alpine\nRUN apk add curl\n", &[]),
        Err(DockerfileError::NothingCopied)
    );
}

#[test]
fn a_user_that_the_base_would_not_have_is_refused() {
    for (text, missing) in [
        ("COPY . .\nRUN adduser -D app\nUSER app\n", Some("app")),
        (
            "COPY . .\nRUN pip install x && \\\n  groupadd -r web; useradd app\nUSER 7:web\n",
            Some("7:web"),
        ),
        (
            "COPY . .\nRUN [\"/usr/sbin/useradd\", \"app\"]\nUSER app\n",
            Some("app"),
        ),
        ("COPY . .\nRUN useradd app\nFROM 0\nUSER app\n", Some("app")),
        (
            "COPY . .\nRUN useradd app\nFROM 0\nUSER app\nFROM alpine\nUSER nobody\n",
            None,
        ),
        (
            "RUN useradd app\nCOPY . .\nRUN chown -R app .\nUSER app\n",
            None,
        ),
        (
            "COPY . .\nRUN useradd -u 7 app\nUSER app\nRUN x\nUSER 7\n",
            None,
        ),
        ("COPY . .\nRUN useradd app\nUSER nobody\n", None),
        (
            "COPY . .\nFROM scratch\nCOPY --from=0 /etc/passwd /etc/\nUSER app\n",
            Some("app"),
        ),
        (
            "COPY . .\nFROM scratch\nCOPY --from=0 /etc/passwd /etc/\nUSER 7\n",
            None,
        ),
    ] {
        let stripped = strip(&format!("FROM alpine\n{text}"), &[]);
        let missing = missing.map(|user: &str| DockerfileError::User(user.to_owned()));
        assert_eq!(stripped.err(), missing, "{text}");
    }
}

#[test]
fn a_stage_may_choose_its_base_by_the_platform() {
    let text = "# escape=`\nARG GO=1.25\nFROM --platform=$BUILDPLATFORM golang:${GO} AS build\nARG TARGETARCH\n\
                RUN x `\n  y\nFROM base-${TARGETARCH:-amd64}\n";
    let expected = "# escape=`\nARG GO=1.25\nARG BUILDPLATFORM\nARG TARGETARCH\nFROM --platform=$BUILDPLATFORM \
                    golang:${GO} AS build\nARG TARGETARCH\nRUN x `\n  y\nFROM base-${TARGETARCH:-amd64}\n";
    assert_eq!(with_platform(text).as_deref(), Some(expected));
    assert_eq!(with_platform("FROM a\nARG TARGETARCH\nRUN x\n"), None);
}

#[test]
fn here_documents_are_refused() {
    assert_eq!(
        strip("FROM alpine\nRUN <<EOF\ntouch x\nEOF\nCOPY . .\n", &[]),
        Err(DockerfileError::HereDocument)
    );
}
