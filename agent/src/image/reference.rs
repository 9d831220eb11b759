//! Names of images (<https://github.com/distribution/reference>).

/// What every tag starts with that this program gives.
const OWN: &str = "rsfaas-";

/// An image's name, apart from its tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Registry and path.
    pub repository: String,
    /// The tag; `latest` where none is written.
    pub tag: String,
}

impl Reference {
    /// Reads an image's name as stack files have it.
    #[must_use]
    pub fn parse(image: &str) -> Self {
        let image = image.split('@').next().unwrap_or(image);
        // A colon before a slash belongs to the registry's port.
        match image.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
            Some((repository, tag)) => Self {
                repository: repository.to_owned(),
                tag: tag.to_owned(),
            },
            None => Self {
                repository: image.to_owned(),
                tag: "latest".to_owned(),
            },
        }
    }

    /// The reference to an image of the same repository with another tag.
    #[must_use]
    pub fn tagged(&self, tag: &str) -> Self {
        Self {
            repository: self.repository.clone(),
            tag: tag.to_owned(),
        }
    }

    /// Whether this program has made the image, and no build of the author's.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.tag.starts_with(OWN)
    }

    /// Whether both have one repository, with or without the registry that stands for none.
    #[must_use]
    pub fn is_beside(&self, other: &Self) -> bool {
        self.full_repository() == other.full_repository()
    }

    /// Whether both are one image, however its repository is written.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.is_beside(other) && self.tag == other.tag
    }

    /// The repository with the registry that stands for none.
    pub(super) fn full_repository(&self) -> String {
        let repository = &self.repository;
        if self.registry().is_some() {
            repository.clone()
        } else if repository.contains('/') {
            format!("docker.io/{repository}")
        } else {
            format!("docker.io/library/{repository}")
        }
    }

    /// Host and path of the registry, where the name has one (it has a dot, a port, or is localhost).
    #[must_use]
    pub fn registry(&self) -> Option<(&str, &str)> {
        let (host, path) = self.repository.split_once('/')?;
        (host.contains(['.', ':']) || host == "localhost").then_some((host, path))
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", self.repository, self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_told_from_a_tag() {
        for (text, repository, tag) in [
            ("pydict", "pydict", "latest"),
            ("127.0.0.1:5000/pydict", "127.0.0.1:5000/pydict", "latest"),
            ("127.0.0.1:5000/a/pydict:1", "127.0.0.1:5000/a/pydict", "1"),
            ("user/pydict:v1@sha256:00", "user/pydict", "v1"),
        ] {
            let parsed = Reference::parse(text);
            assert_eq!(
                (parsed.repository.as_str(), parsed.tag.as_str()),
                (repository, tag)
            );
        }
    }

    #[test]
    fn a_repository_is_the_same_however_it_is_written() {
        let image = Reference::parse("user/f:1");
        assert!(image.is_beside(&Reference::parse("docker.io/user/f")));
        assert!(!image.is_beside(&Reference::parse("docker.io/library/f")));
        assert!(!image.is_beside(&Reference::parse("user/f/g:1")));
        assert!(image.is_same(&Reference::parse("docker.io/user/f:1")));
        assert!(!image.is_same(&Reference::parse("user/f:2")));
    }

    #[test]
    fn a_registry_is_told_from_a_user() {
        assert_eq!(
            Reference::parse("r.example/a/b").registry(),
            Some(("r.example", "a/b"))
        );
        assert_eq!(Reference::parse("user/b").registry(), None);
        assert_eq!(Reference::parse("b").registry(), None);
    }
}
